"""A training step's input, and the features that the towers compute from it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from accelerate.utils import recursively_apply
from torch import Tensor

from e2.activations import Photos
from e2.packing import Layout
from e2.targets import BatchTargets


@dataclass
class Batch:
    """One training step's input. Each unique text is encoded once."""

    images: Photos  # (B, 3, H, W), or activations of a frozen front; until the step, what e2.data.device_views makes of them
    tokens: Tensor  # (U, L) the step's unique texts
    text_index: Tensor  # (B,) row of each product's text
    tag_index: Tensor  # (B, E) row of each product's tags; -1 = missing. (B, E, V) if products have up to V values of one
    text_keys: Tensor  # (U,) a hash of each text's tokens: the same text has the same key in every process
    noise: dict[int, Tensor] | None = field(default=None, kw_only=True)  # selection noise, layer -> (B, S, N)
    kept: Tensor | None = field(default=None, kw_only=True)  # (B, K) patches that the image tower sees; None = all
    layouts: list[Layout] | None = field(default=None, kw_only=True)  # of the texts, or of each chunk of them
    targets: BatchTargets | None = field(default=None, kw_only=True)

    def to(self, device, *, photos: bool = True) -> "Batch":
        """Moves the batch to a device; ``photos=False`` leaves the photos behind, to follow in parts."""
        stays = None if photos else self.images
        return self._map(lambda part: part if part is stays else part.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        return self._map(lambda part: part.pin_memory())

    def _map(self, change: Callable) -> "Batch":
        parts = (self.images, self.tokens, self.text_index, self.tag_index, self.text_keys)
        further = {"noise": self.noise, "kept": self.kept, "layouts": self.layouts, "targets": self.targets}
        return Batch(*map(change, parts), **recursively_apply(change, further))

    @property
    def value_index(self) -> Tensor:
        """(B, E, V) row of each value of each product's tags; those missing, -1, come last."""
        return self.tag_index if self.tag_index.ndim == 3 else self.tag_index.unsqueeze(-1)

    def __len__(self) -> int:
        return len(self.text_index)


@dataclass
class Features:
    """Features of a batch, by name. Every tensor has one row per product or one per text."""

    images: dict[str, Tensor]  # "image" (B, D), "regions" (B, E, D), ...
    texts: dict[str, Tensor]  # "text" (U, D), ...
