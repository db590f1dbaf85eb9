"""Fills in what the settings leave open by whether the backbone is pre-trained: the measured choice for either."""

from collections.abc import Mapping
from typing import Any, TypeVar

from e2.config import LossConfig, ModelConfig
from e2.settings import merged

T = TypeVar("T", ModelConfig, LossConfig)

LAYOUT_WITH_RANDOM_WEIGHTS = {"locations": "local", "gates": "stream", "regions": "tokens"}
LAYOUT_WITH_PRETRAINED_WEIGHTS = {"locations": "patches", "gates": "pooled", "regions": "with-image"}
LOSS_WITH_RANDOM_WEIGHTS = {"region_weight": 3.0, "image_tag_weight": 0.0}
LOSS_WITH_PRETRAINED_WEIGHTS = {"region_weight": 0.3, "image_tag_weight": 0.3}  # heavy ones cost retrieval


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
    return _filled(config, default)


def complete_loss(config: LossConfig, pretrained: bool) -> LossConfig:
    """Returns the settings without a null among the weights."""
    return _filled(config, LOSS_WITH_PRETRAINED_WEIGHTS if pretrained else LOSS_WITH_RANDOM_WEIGHTS)


def _filled(config: T, default: Mapping[str, Any]) -> T:
    filled: T = merged(config, {name: value for name, value in default.items() if getattr(config, name) is None})
    return filled
