"""``filip``: also compares photo and description token by token (FILIP, Yao et al., ICLR 2022; ``e2.late_interaction``).

The paper trains on the late interaction alone and keeps every patch and word of the catalogue for retrieval. Here the global
loss is kept, and the model is evaluated, indexed and saved like the others: one vector per photo and per text. So the
comparison measures token-wise *training* at equal search cost, not late interaction at search time. ``loss.global_weight=0``
gives the paper's loss.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.activations import Photos
from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.front import Front
from e2.late_interaction import late_interaction_loss
from e2.lookup import lookup
from e2.methods.base import Method
from e2.model import E2
from e2.packing import Layout
from e2.towers import open_tower
from e2.words import read_words, words_tower


class Filip(Method):
    """Trains with late interaction, with its own temperature: means of best cosines spread less than cosines."""

    packs_texts = False  # their words are read where they stand
    weights = ("global_weight", "late_weight")

    def __init__(self, model: E2, loss: LossConfig, tags: Sequence[str] = ()):
        super().__init__(model, loss, tags)
        open_tower(model.visual)  # refuse unsuitable towers now rather than in the first step
        words_tower(model.clip)
        self.late_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))  # the paper's initial value

    def front(self) -> Front:
        """All frozen blocks: the patches behind them are needed, not only what the tower pools of them."""
        blocks = open_tower(self.model.visual).frozen_blocks()
        return Front(blocks, (blocks,))

    def image_features(
        self, images: Photos, noise: Mapping[int, Tensor] | None = None, kept: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Adds the patches (b, N, D), each as the tower would pool and project it alone."""
        tower = open_tower(self.model.visual)
        stream = tower.last_stream(self.seen(images, kept))
        normed = tower.norm(stream[:, tower.num_prefix_tokens :])  # (b, N, W)
        patches = tower.merge(normed.flatten(0, 1).unsqueeze(1)).unflatten(0, normed.shape[:2]) @ tower.proj
        features = {"image": tower.pool(stream), "patches": patches}
        return features if self.start is None else {**features, "start": self.start(images)}

    def text_features(self, tokens: Tensor, layout: Layout | None = None) -> dict[str, Tensor]:
        """Adds the words (u, context length, D). Zero-padded, so that parts of a batch cut to other lengths fit."""
        text, words, mask = read_words(self.model.clip, tokens)
        words = words.masked_fill(~mask.unsqueeze(-1), 0.0)
        return {"text": text, "words": F.pad(words, (0, 0, 0, self.model.context_length - words.shape[1]))}

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        words = lookup(features.texts["words"], batch.text_index)
        mask = words.detach().any(dim=-1)  # (B, context length)
        longest = batch.tokens.shape[1]  # cut to the longest text of the batch
        scale = self.late_scale.exp().clamp(max=self.loss.max_logit_scale or math.inf)
        term = late_interaction_loss(features.images["patches"], words[:, :longest], mask[:, :longest], scale, self.part)
        return {**super().losses(features, batch), "late_loss": self.loss.late_weight * term}
