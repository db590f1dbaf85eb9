"""Fills in what the settings leave open by whether the backbone is pre-trained: the measured choice for either."""

from dataclasses import replace

from e2.config import LossConfig, ModelConfig
from e2.settings import merged

LAYOUT_WITH_RANDOM_WEIGHTS = {"locations": "local", "gates": "stream", "regions": "tokens"}
LAYOUT_WITH_PRETRAINED_WEIGHTS = {"locations": "patches", "gates": "pooled", "regions": "with-image"}
REGION_WEIGHT, REGION_WEIGHT_PRETRAINED = 3.0, 0.3  # a heavy one costs retrieval beside pre-trained weights
IMAGE_TAG_WEIGHT, IMAGE_TAG_WEIGHT_PRETRAINED = 0.0, 0.3


def complete_model(config: ModelConfig, pretrained: bool, earlier: ModelConfig | None = None) -> ModelConfig:
    """Returns the settings without a null among those of the layout.

    Args:
        config: the settings as given.
        pretrained: whether the backbone has pre-trained weights.
        earlier: complete settings of the E2 model that training goes on from, whose layout is kept.
    """
    default = LAYOUT_WITH_PRETRAINED_WEIGHTS if pretrained else LAYOUT_WITH_RANDOM_WEIGHTS
    if earlier is not None:
        default = {name: getattr(earlier, name) for name in default}
    filled: ModelConfig = merged(config, {name: value for name, value in default.items() if getattr(config, name) is None})
    return filled


def complete_loss(config: LossConfig, pretrained: bool) -> LossConfig:
    """Returns the settings without a null among the weights."""
    region, image = config.region_weight, config.image_tag_weight
    if region is None:
        region = REGION_WEIGHT_PRETRAINED if pretrained else REGION_WEIGHT
    if image is None:
        image = IMAGE_TAG_WEIGHT_PRETRAINED if pretrained else IMAGE_TAG_WEIGHT
    return replace(config, region_weight=region, image_tag_weight=image)
