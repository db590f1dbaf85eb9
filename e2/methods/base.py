"""Base class of training methods: features of a batch, then losses on them.

The two phases are separate so that a batch may exceed a device (``grad_cache``) or spread over several processes
(``e2.distributed``): features are computed part by part, the losses always see the whole batch.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from e2.activations import Photos
from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.defaults import complete_loss
from e2.distill import StartTower
from e2.errors import InputError
from e2.front import Front
from e2.frozen_texts import FrozenTexts
from e2.lookup import lookup
from e2.losses import WHOLE, contrastive_loss, distillation_loss, label_aware_loss, sigmoid_loss
from e2.model import E2
from e2.packing import Layout, encode_packed
from e2.planning import Planner
from e2.ring import ring_sigmoid_loss
from e2.targets import BatchTargets, Targets, batch_targets
from e2.texts import text_ends
from e2.towers import open_tower

TAG_WEIGHTS = ("region_weight", "image_tag_weight")  # of terms that there are only if tags are trained on


class Method(nn.Module):
    """A model with its training loss; called with a batch it returns ``{"..._loss": weighted term}``.

    The terms sum to the loss. A method overrides ``image_features`` and ``text_features`` if it needs more than the
    embeddings; they work row by row, so any part of a batch may be passed. It overrides ``losses`` to choose the pairs to
    contrast; it sees the rows of the whole batch, including other processes' (unless it ``goes_round``), but must not use
    ``batch.images``. Its own parameters (a critic, say) are trained like E2's new ones and are not saved with the model.
    """

    uses_tags = False  # whether it uses tags if the catalogue has them
    needs_tags = False  # whether it needs tags
    uses_tokens = False
    packs_texts = True  # whether it encodes texts packed
    may_go_round = False  # whether its terms contrast photos with nothing but texts, by one of ``e2.ring``'s losses
    weights: tuple[str, ...] = ("global_weight",)  # weights of the loss's terms

    def __init__(self, model: E2, loss: LossConfig, tags: Sequence[str] = ()):
        super().__init__()
        if loss.kind == "sigmoid" and model.logit_bias is None:
            raise InputError("loss.kind=sigmoid needs a backbone with a logit bias, such as ViT-B-16-SigLIP; use softmax")
        loss = complete_loss(loss, model.clip.origin.pretrained)
        counted = [name for name in self.weights if tags or name not in TAG_WEIGHTS]
        if all(getattr(loss, name) == 0 for name in counted):
            names = " and ".join(f"loss.{name}" for name in counted)
            raise InputError(f"{names} {'is' if len(counted) == 1 else 'are'} 0: there is nothing to learn; raise one")
        self.model = model
        self.loss = loss
        self.region_weight, self.image_tag_weight = loss.region_weight or 0.0, loss.image_tag_weight or 0.0
        self.sigmoid = model.logit_bias is not None and loss.kind != "softmax"
        self.part = WHOLE  # of the logits, that this process computes
        self.frozen_texts: FrozenTexts | None = None
        self.start = StartTower(model) if loss.distill_weight else None

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters of the method that do not belong to the model."""
        return [p for name, p in self.named_parameters() if not name.startswith("model.")]

    def draw_noise(self, count: int, device: torch.device) -> dict[int, Tensor]:
        """Draws selection noise for ``count`` products: layer -> (count, S, N); empty without a reader."""
        if self.model.reader is None:
            return {}
        return self.model.reader.draw_noise(count, device)

    def front(self) -> Front:
        """The frozen part of the image tower that runs once per photo, and what this method needs of it."""
        return self.model.front()

    def seen(self, images: Photos, kept: Tensor | None) -> Photos:
        """Photos as the image tower's blocks see them: with the patches (b, K) that are kept, if not all are."""
        return images if kept is None else open_tower(self.model.visual).begin(images, kept)

    def image_features(
        self, images: Photos, noise: Mapping[int, Tensor] | None = None, kept: Tensor | None = None
    ) -> dict[str, Tensor]:
        """(b, 3, H, W), or activations of a frozen front -> features by name, (b, ...) each."""
        reading = self.model.read(self.seen(images, kept), noise)
        features = {"image": reading.image, "regions": reading.regions}
        return features if self.start is None else {**features, "start": self.start(images)}

    def planner(self, chunk_size: int | None = None) -> Planner:
        """Makes what finds, in the loader's workers, what a step would otherwise have to ask the device for."""
        packs = self.packs_texts and (self.frozen_texts is None or self.frozen_texts.front.lays_out)
        return Planner(text_ends(self.model.clip), packs, chunk_size, self.loss.same_tag_positive)

    def text_features(self, tokens: Tensor, layout: Layout | None = None) -> dict[str, Tensor]:
        """(u, L), laid out if they are already -> features by name, (u, ...) each."""
        encode = self.frozen_texts or partial(encode_packed, self.model.clip)
        return {"text": encode(tokens, layout)}

    def features(self, batch: Batch) -> Features:
        layout = batch.layouts[0] if batch.layouts else None
        return Features(self.image_features(batch.images, batch.noise, batch.kept), self.text_features(batch.tokens, layout))

    @property
    def goes_round(self) -> bool:
        """True if :meth:`losses` takes a process's own features and batch, as nothing but texts goes round (``e2.ring``)."""
        several = self.part.world > 1
        return several and self.may_go_round and self.sigmoid and self.start is None and self.loss.same_tag_positive

    def pair_loss(self, features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
        """Computes the loss between photos (B, D) and unique texts (C, D); ``targets`` (B,) is each photo's text."""
        if self.sigmoid:
            assert self.model.logit_bias is not None
            return sigmoid_loss(features, classes, targets, scale, self.model.logit_bias, self.part)
        return label_aware_loss(features, classes, targets, scale, self.part)

    def targets(self, batch: Batch) -> BatchTargets:
        """The batch's targets: those found by the loader, or, of several processes' batch, found here."""
        same = self.loss.same_tag_positive
        return batch.targets or batch_targets(batch.text_index, batch.tag_index, same_tag_positive=same)

    def description_loss(self, images: Tensor, texts: Tensor, targets: Targets) -> Tensor:
        """Computes the loss between all photos (B, D) and their descriptions among ``texts`` (U, D)."""
        scale = self.model.logit_scale.exp()
        if not self.sigmoid:  # as usual in CLIP, two products of one description are negatives of each other
            return contrastive_loss(images, lookup(texts, targets.texts[targets.places]), scale, self.part)
        return self.pair_loss(images, lookup(texts, targets.texts), targets.places, scale)

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Computes the weighted terms: the global image-text loss and, if configured, the distance from the start model."""
        image, texts, targets = features.images["image"], features.texts["text"], self.targets(batch).descriptions
        if self.goes_round:
            scale, bias = self.model.logit_scale.exp(), self.model.logit_bias
            term = ring_sigmoid_loss(image, texts, targets, batch.text_keys, scale, bias)
        else:
            term = self.description_loss(image, texts, targets)
        losses = {"global_loss": self.loss.global_weight * term}
        if "start" in features.images:
            losses["distill_loss"] = self.loss.distill_weight * distillation_loss(image, features.images["start"])
        return losses

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return self.losses(self.features(batch), batch)
