"""Training methods by name: which features meet which texts. The loop is the same for all.

- ``clip``: the global image-text loss only, i.e. plain fine-tuning (CLIP-FT).
- ``multifield``: plus one loss per tag text *on the image embedding*. No selection tokens: the control that tells whether
  tokens or mere tag supervision help.
- ``e2``: the tag texts meet the region embeddings of the selection tokens.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from e2.config import LossConfig
from e2.errors import InputError
from e2.losses import contrastive_loss, region_loss
from e2.model import E2
from e2.reader import Reading


@dataclass
class Batch:
    """One training step's input. All texts of the step are encoded together, each unique text once."""

    images: Tensor  # (B, 3, H, W)
    tokens: Tensor  # (U, L) the step's unique texts
    text_index: Tensor  # (B,) row of each product's text
    tag_index: Tensor  # (B, E) row of each product's tags; -1 = missing

    def to(self, device) -> "Batch":
        return Batch(*(t.to(device, non_blocking=True) for t in vars(self).values()))

    def pin_memory(self) -> "Batch":
        return Batch(*(t.pin_memory() for t in vars(self).values()))

    def __len__(self) -> int:
        return len(self.images)


class Method(nn.Module):
    """A model with the loss it is trained by; called with a batch it returns ``{"..._loss": weighted term}``.

    The terms sum to the loss. It is a module so that a distributed wrapper sees one forward pass.
    """

    uses_tags = False
    uses_tokens = False

    def __init__(self, model: E2, loss: LossConfig):
        super().__init__()
        self.model = model
        self.loss = loss

    def region_features(self, reading: Reading, entities: int) -> Tensor | None:
        """(B, E, D) features that the tag texts are set against; None = no region loss."""
        return None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        reading = self.model.read(batch.images)
        texts = self.model.encode_text(batch.tokens)
        scale = self.model.logit_scale.exp()
        weight = self.loss.global_weight
        losses = {"global_loss": weight * contrastive_loss(reading.image, texts[batch.text_index], scale)}
        regions = self.region_features(reading, batch.tag_index.shape[1])
        if regions is not None:
            term = region_loss(regions, texts, batch.tag_index, scale, same_tag_positive=self.loss.same_tag_positive)
            losses["region_loss"] = self.loss.region_weight * term
        return losses


class Clip(Method):
    pass


class MultiField(Method):
    uses_tags = True

    def region_features(self, reading: Reading, entities: int) -> Tensor:
        return reading.image.unsqueeze(1).expand(-1, entities, -1)


class RegionContrastive(Method):
    uses_tags = True
    uses_tokens = True

    def region_features(self, reading: Reading, entities: int) -> Tensor:
        return reading.regions


METHODS = {"clip": Clip, "multifield": MultiField, "e2": RegionContrastive}


def method_class(name: str) -> type[Method]:
    """The method of that name.

    Raises:
        InputError: there is none.
    """
    if name not in METHODS:
        raise InputError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]
