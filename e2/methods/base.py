"""What a training method is: features of a batch, then losses on them.

The two phases are apart so that a batch may be larger than a device (``grad_cache``) or spread over several processes
(``e2.distributed``): features are computed part by part, the losses always see the whole batch.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.distill import StartTower
from e2.errors import InputError
from e2.lookup import lookup
from e2.losses import contrastive_loss, distillation_loss, label_aware_loss, sigmoid_loss
from e2.model import E2
from e2.packing import encode_packed


class Method(nn.Module):
    """A model with the loss it is trained by; called with a batch it returns ``{"..._loss": weighted term}``.

    The terms sum to the loss. A method overrides ``image_features`` and ``text_features`` where it needs more than the
    embeddings; they work row by row, so that any part of a batch may be passed. It overrides ``losses`` to say what meets
    what; there the rows of the whole batch are present, those of other processes too, while ``batch.images`` is not to be
    used. Parameters of its own (a critic, say) are trained like E2's new ones and are not part of the saved model.
    """

    uses_tags = False  # whether it learns from the tags of a catalogue that has them
    needs_tags = False  # whether it learns nothing without them
    uses_tokens = False
    weights: tuple[str, ...] = ("global_weight",)  # settings of the loss that say how much each of its terms counts

    def __init__(self, model: E2, loss: LossConfig, tags: Sequence[str] = ()):
        super().__init__()
        if loss.kind == "sigmoid" and model.logit_bias is None:
            raise InputError("loss.kind=sigmoid needs a backbone with a logit bias, such as ViT-B-16-SigLIP; use softmax")
        counted = [name for name in self.weights if tags or name != "region_weight"]
        if not any(getattr(loss, name) for name in counted):
            names = " and ".join(f"loss.{name}" for name in counted)
            raise InputError(f"{names} {'is' if len(counted) == 1 else 'are'} 0: there is nothing to learn; raise one")
        self.model = model
        self.loss = loss
        self.sigmoid = model.logit_bias is not None and loss.kind != "softmax"
        self.start = StartTower(model) if loss.distill_weight else None

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters of the method that are none of the model."""
        return [p for name, p in self.named_parameters() if not name.startswith("model.")]

    def draw_noise(self, count: int, device: torch.device) -> dict[int, Tensor]:
        """Selection noise for so many products: layer -> (count, S, N); empty without a reader."""
        if self.model.reader is None:
            return {}
        return self.model.reader.draw_noise(count, device)

    def image_features(self, images: Tensor, noise: Mapping[int, Tensor] | None = None) -> dict[str, Tensor]:
        """(b, 3, H, W) -> features by name, (b, ...) each."""
        reading = self.model.read(images, noise)
        features = {"image": reading.image, "regions": reading.regions}
        return features if self.start is None else {**features, "start": self.start(images)}

    def text_features(self, tokens: Tensor) -> dict[str, Tensor]:
        """(u, L) -> features by name, (u, ...) each."""
        return {"text": encode_packed(self.model.clip, tokens)}

    def features(self, batch: Batch) -> Features:
        return Features(self.image_features(batch.images, batch.noise), self.text_features(batch.tokens))

    def pair_loss(self, features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
        """The loss between photos (B, D) and unique texts (C, D), ``targets`` (B,) being each photo's text."""
        if self.sigmoid:
            assert self.model.logit_bias is not None
            return sigmoid_loss(features, classes, targets, scale, self.model.logit_bias)
        return label_aware_loss(features, classes, targets, scale)

    def description_loss(self, images: Tensor, texts: Tensor, text_index: Tensor) -> Tensor:
        """The loss between photos (B, D) and their descriptions, rows ``text_index`` (B,) of ``texts`` (U, D)."""
        scale = self.model.logit_scale.exp()
        if not self.sigmoid:  # as usual in CLIP, two products of one description are rivals
            return contrastive_loss(images, lookup(texts, text_index), scale)
        rows, targets = text_index.unique(return_inverse=True)
        return self.pair_loss(images, lookup(texts, rows), targets, scale)

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms; here the global image-text loss, and the distance from the start model where asked for."""
        image = features.images["image"]
        term = self.description_loss(image, features.texts["text"], batch.text_index)
        losses = {"global_loss": self.loss.global_weight * term}
        if "start" in features.images:
            losses["distill_loss"] = self.loss.distill_weight * distillation_loss(image, features.images["start"])
        return losses

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.losses(self.features(batch), batch)
