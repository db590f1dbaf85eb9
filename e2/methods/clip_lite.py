"""``clip-lite``: a bound on the mutual information instead of a softmax over the batch (CLIP-Lite, Shrivastava et al.,
AISTATS 2023).

Each photo is contrasted with ``loss.negatives`` other texts (the paper: one), so a batch of 8 suffices. Descriptions and, if
present, tags are contrasted with the image embedding as in ``multifield``; a tag's negative is another *tag*, not merely
another product's. The critic is CLIP's own scaled cosine, so that the result is a CLIP; the paper's deeper critic heads,
prior-matching term and clustered negatives are left out.
"""

from torch import Tensor

from e2.batch import Batch, Features
from e2.lookup import lookup
from e2.losses import jensen_shannon_loss
from e2.methods.region import MultiField
from e2.targets import Targets


class ClipLite(MultiField):
    needs_tags = False
    compares = False  # each pair is scored independently
    may_go_round = False  # a photo's negatives are chosen among all texts

    def pair_loss(self, features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
        bias, count = self.model.logit_bias, self.loss.negatives
        return jensen_shannon_loss(features, classes, targets, scale, self.part, bias=bias, negatives=count)

    def description_loss(self, images: Tensor, texts: Tensor, targets: Targets) -> Tensor:
        return self.pair_loss(images, lookup(texts, targets.texts), targets.places, self.model.logit_scale.exp())

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        losses = super().losses(features, batch)
        return losses if batch.tag_index.shape[1] else {"global_loss": losses["global_loss"]}
