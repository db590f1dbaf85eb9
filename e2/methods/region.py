"""``e2``: contrasts tag texts with the region embeddings of the selection tokens, and with the image embedding if asked to.

``multifield``, the control without selection tokens, contrasts them with the *image embedding* alone: it shows whether the
tokens help or tag supervision alone does.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.losses import region_loss
from e2.methods.base import Method
from e2.model import E2
from e2.ring import ring_region_loss


class TagContrastive(Method):
    """Descriptions and tags; a method says by ``losses`` which features the tags are contrasted with."""

    uses_tags = True
    needs_tags = True
    may_go_round = True

    def __init__(self, model: E2, loss: LossConfig, tags: Sequence[str] = ()):
        super().__init__(model, loss, tags)
        start = loss.tag_scale if self.compares else None
        self.log_tag_scales = None if start is None else nn.Parameter(torch.full((len(tags),), math.log(start)))

    @property
    def compares(self) -> bool:
        """True if texts are contrasted with each other (softmax), so that only their differences matter."""
        return not self.sigmoid

    def tag_scale(self) -> Tensor:
        """Logit scale of the tags: one per entity, (E,), learned beside the model; or the model's own, ()."""
        if self.log_tag_scales is None:
            return self.model.logit_scale.exp()
        most = self.loss.max_logit_scale
        logs = self.log_tag_scales
        return (logs if most is None else logs.clamp(max=math.log(most))).exp()

    def tag_loss(self, found: Tensor, features: Features, batch: Batch) -> Tensor:
        """Computes the loss between tag texts and the features (B, E, D) that they are contrasted with."""
        texts, targets, scale = features.texts["text"], self.targets(batch).tags, self.tag_scale()
        if self.goes_round:
            return ring_region_loss(found, texts, targets, batch.text_keys, scale, self.model.logit_bias)
        return region_loss(
            found,
            texts,
            targets,
            scale,
            centred=self.loss.centre_tags and self.compares,
            loss=self.pair_loss,
        )

    def image_tag_loss(self, features: Features, batch: Batch) -> Tensor:
        """Computes the loss between tag texts and image embeddings."""
        entities = batch.tag_index.shape[1]
        return self.tag_loss(features.images["image"].unsqueeze(1).expand(-1, entities, -1), features, batch)


class RegionContrastive(TagContrastive):
    weights = ("global_weight", "region_weight", "image_tag_weight")
    uses_tokens = True

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        region = self.tag_loss(features.images["regions"], features, batch)
        losses = {**super().losses(features, batch), "region_loss": self.region_weight * region}
        if self.image_tag_weight:
            losses["image_tag_loss"] = self.image_tag_weight * self.image_tag_loss(features, batch)
        return losses


class MultiField(TagContrastive):
    weights = ("global_weight", "region_weight")

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        term = self.image_tag_loss(features, batch)
        return {**super().losses(features, batch), "region_loss": self.region_weight * term}
