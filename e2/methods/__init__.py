"""Training methods by name: which features are contrasted with which texts. All share one training loop."""

from e2.errors import require_choice
from e2.methods.base import Method
from e2.methods.clip import Clip
from e2.methods.clip_lite import ClipLite
from e2.methods.ei_clip import EiClip
from e2.methods.filip import Filip
from e2.methods.pooled import PooledClip, PooledMultiField
from e2.methods.region import MultiField, RegionContrastive

__all__ = ["METHODS", "Method", "method_class"]

METHODS: dict[str, type[Method]] = {
    "clip": Clip,
    "multifield": MultiField,
    "filip": Filip,
    "clip-lite": ClipLite,
    "ei-clip": EiClip,
    "clip-pooled": PooledClip,
    "multifield-pooled": PooledMultiField,
    "e2": RegionContrastive,
}


def method_class(name: str) -> type[Method]:
    """Returns the method of that name."""
    require_choice("method", name, tuple(METHODS))
    return METHODS[name]
