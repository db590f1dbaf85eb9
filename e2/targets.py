"""Pairs of photos and texts that belong together in a batch.

Found by the loader's workers: a step that asked for it would wait for a GPU to answer.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """Photos that have a text, these texts, and which belong together."""

    photos: Tensor  # (b,) rows of the batch
    texts: Tensor  # (C,) rows of the batch's unique texts
    places: Tensor  # (b,) place of each photo's text among ``texts``, or (b, V) of its texts, -1 behind the last


class BatchTargets(NamedTuple):
    """Targets of a batch's descriptions, and of each entity's tags: None where no product has one."""

    descriptions: Targets
    tags: list[Targets | None]


def find_targets(index: Tensor, *, same_text_positive: bool = True) -> Targets | None:
    """Finds the photos, texts and targets of a loss; None if no photo has a text.

    Args:
        index: (B,) row of each photo's text, or (B, V) of its texts; -1 for none.
        same_text_positive: a text counts once; False: once for each of its photos.
    """
    photos = (index >= 0).view(len(index), -1).any(dim=1).nonzero().flatten()
    if not len(photos):
        return None
    index = index[photos]
    named = index >= 0
    texts = index[named]
    if same_text_positive:
        texts, places = texts.unique(return_inverse=True)
    else:
        places = torch.arange(len(texts), device=index.device)
    targets = torch.full_like(index, -1).masked_scatter(named, places)
    if targets.ndim == 2 and not (targets[:, 1:] >= 0).any():
        targets = targets[:, 0]
    return Targets(photos, texts, targets)


def tag_targets(tag_index: Tensor, *, same_tag_positive: bool = True) -> list[Targets | None]:
    """Finds the targets of each entity, for (B, E) or (B, E, V) rows of the products' tags."""
    return [find_targets(index, same_text_positive=same_tag_positive) for index in tag_index.unbind(1)]


def batch_targets(text_index: Tensor, tag_index: Tensor, *, same_tag_positive: bool = True) -> BatchTargets:
    """Finds all targets of a batch, from the rows of its descriptions (B,) and of its tags (B, E) or (B, E, V)."""
    descriptions = find_targets(text_index)
    assert descriptions is not None
    return BatchTargets(descriptions, tag_targets(tag_index, same_tag_positive=same_tag_positive))
