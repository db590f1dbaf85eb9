"""``e2``: contrasts tag texts with the region embeddings of the selection tokens.

``multifield``, the control without selection tokens, contrasts them with the *image embedding*: it shows whether the tokens
help or tag supervision alone does.
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


class RegionContrastive(Method):
    uses_tags = True
    needs_tags = True
    weights = ("global_weight", "region_weight")
    uses_tokens = True

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

    def tag_features(self, features: Features, entities: int) -> Tensor:
        """(B, E, D) features that the tag texts are contrasted with."""
        return features.images["regions"]

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        regions = self.tag_features(features, batch.tag_index.shape[1])
        term = region_loss(
            regions,
            features.texts["text"],
            self.targets(batch).tags,
            self.tag_scale(),
            centred=self.loss.centre_tags and self.compares,
            loss=self.pair_loss,
        )
        return {**super().losses(features, batch), "region_loss": self.region_weight * term}


class MultiField(RegionContrastive):
    uses_tokens = False

    def tag_features(self, features: Features, entities: int) -> Tensor:
        return features.images["image"].unsqueeze(1).expand(-1, entities, -1)
