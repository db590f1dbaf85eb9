"""``e2``: the tag texts meet the region embeddings of the selection tokens.

``multifield`` sets them against the *image embedding* instead. It has no selection tokens: the control that tells whether
tokens or mere tag supervision help.
"""

from torch import Tensor

from e2.losses import region_loss
from e2.methods.base import Batch, Features, Method


class RegionContrastive(Method):
    uses_tags = True
    needs_tags = True
    uses_tokens = True

    def tag_features(self, features: Features, entities: int) -> Tensor:
        """(B, E, D) features that the tag texts are set against."""
        return features.images["regions"]

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        regions = self.tag_features(features, batch.tag_index.shape[1])
        term = region_loss(
            regions,
            features.texts["text"],
            batch.tag_index,
            self.model.logit_scale.exp(),
            same_tag_positive=self.loss.same_tag_positive,
            loss=self.pair_loss,
        )
        return {**super().losses(features, batch), "region_loss": self.loss.region_weight * term}


class MultiField(RegionContrastive):
    uses_tokens = False

    def tag_features(self, features: Features, entities: int) -> Tensor:
        return features.images["image"].unsqueeze(1).expand(-1, entities, -1)
