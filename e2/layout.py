"""Fills in what the settings leave open of E2's layout: the measured choice for random and for pre-trained weights."""

from e2.config import ModelConfig
from e2.settings import merged

WITH_RANDOM_WEIGHTS = {"locations": "local", "gates": "stream", "regions": "tokens"}
WITH_PRETRAINED_WEIGHTS = {"locations": "patches", "gates": "pooled", "regions": "with-image"}


def complete(config: ModelConfig, pretrained: bool, earlier: ModelConfig | None = None) -> ModelConfig:
    """Returns the settings without a null among those of the layout.

    Args:
        config: the settings as given.
        pretrained: whether the backbone has pre-trained weights.
        earlier: complete settings of the E2 model that training goes on from, whose layout is kept.
    """
    default = WITH_PRETRAINED_WEIGHTS if pretrained else WITH_RANDOM_WEIGHTS
    if earlier is not None:
        default = {name: getattr(earlier, name) for name in default}
    filled: ModelConfig = merged(config, {name: value for name, value in default.items() if getattr(config, name) is None})
    return filled
