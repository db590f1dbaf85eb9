"""``ei-clip``: entity-aware texts after EI-CLIP (Ma et al., CVPR 2022), the text-side counterpart of ``e2``.

The paper treats entities (brand, category, ...) as confounders between photo and description: learned apart from the running
text, selected per product, and intervened on. No code was published; assumed here are

- the entities: the tags of the catalogue. Each has its own branch over the text tower (``e2.entity_branch``), contrasted with
  the photo by ``multifield``'s tag loss;
- the selection: attention of a description over its product's tags, with "none" as a choice;
- the intervention: the description plus the expected entity under that selection, contrasted with the photo like a
  description. The batch stands in for a backdoor adjustment's sum over an entity's values.

The global loss is the mean over plain and entity-aware descriptions, so its weight means the same as in other methods. Plain
descriptions stay in because queries come without tags: without entities, the entity-aware text *is* the plain text. The
branches serve training only; the saved and evaluated model is a plain CLIP.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from e2.batch import Batch, Features
from e2.config import LossConfig
from e2.entity_branch import EntityTexts
from e2.lookup import lookup
from e2.losses import region_loss
from e2.methods.base import Method
from e2.model import E2
from e2.packing import Layout
from e2.targets import Targets
from e2.towers import open_tower


class EiClip(Method):
    uses_tags = True
    needs_tags = True
    weights = ("global_weight", "region_weight")

    def __init__(self, model: E2, loss: LossConfig, tags: Sequence[str]):
        super().__init__(model, loss, tags)
        self.entities = EntityTexts(tags, open_tower(model.visual).output_dim)

    def text_features(self, tokens: Tensor, layout: Layout | None = None) -> dict[str, Tensor]:
        """Adds each text as read by each entity's branch, (u, E, D)."""
        features = super().text_features(tokens, layout)
        return {**features, "entities": self.entities(features["text"])}

    def losses(self, features: Features, batch: Batch) -> dict[str, Tensor]:
        image, entities = features.images["image"], features.texts["entities"]
        losses = super().losses(features, batch)
        aware = self.entity_aware_texts(features, batch)
        # A row per product: the same description with other tags is another text.
        own = torch.arange(len(image), device=image.device)
        paired = self.description_loss(image, aware, Targets(own, own, own))
        losses["global_loss"] = (losses["global_loss"] + self.loss.global_weight * paired) / 2
        term = region_loss(
            image.unsqueeze(1).expand(-1, entities.shape[1], -1),
            entities.transpose(0, 1),
            self.targets(batch).tags,
            self.model.logit_scale.exp(),
            loss=self.pair_loss,
        )
        return {**losses, "region_loss": self.region_weight * term}

    def entity_aware_texts(self, features: Features, batch: Batch) -> Tensor:
        """(B, D): each product's description with its tags' contribution."""
        values = batch.value_index  # (B, E, V)
        present = (values >= 0).flatten(1)  # (B, E * V)
        entities = features.texts["entities"]  # (U, E, D)
        branch = torch.arange(entities.shape[1], device=entities.device)[:, None]
        places = (values.clamp(min=0) * entities.shape[1] + branch).flatten(1)
        own = lookup(entities.flatten(0, 1), places)  # (B, E * V, D)
        return self.entities.select(lookup(features.texts["text"], batch.text_index), own, present)
