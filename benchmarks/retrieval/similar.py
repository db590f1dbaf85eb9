"""Image-to-image retrieval: are the photos most alike to a photo of the right products? Tensors in, arrays out.

A query is a photo; the gallery is all others. Right are the photos of its *group*: of the same product, of products with the
same tags (fine), or of the same kind of garment (coarse), as LookBench counts them.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from e2.data.product import Product
from e2.ranks import KS, TIE_TOLERANCE, Ranks
from e2.spelling import same_values

DEPTH = 10
NAMES = (*(f"R@{k}" for k in KS), f"P@{DEPTH}")
BLOCK = 512  # queries scored at a time


def group_numbers(keys: Iterable[Hashable | None]) -> np.ndarray:
    """Numbers equal keys alike: (N,) int64; -1 for None.

    >>> group_numbers(["tee", None, "coat", "tee"]).tolist()
    [0, -1, 1, 0]
    """
    numbers: dict[Hashable, int] = {}
    return np.array([-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def tag_groups(products: Sequence[Product], entities: Sequence[str]) -> np.ndarray:
    """Groups products (P,) whose tags of all ``entities`` are the same values; -1 if one of them is missing."""
    return group_numbers(_tags(product.values, entities) for product in products)


def _tags(values: Mapping[str, tuple[str, ...]], entities: Sequence[str]) -> Hashable | None:
    if any(entity not in values for entity in entities):
        return None
    return tuple(same_values(values[entity]) for entity in entities)


def similar_hits(images: Tensor, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks all other photos for each photo whose group has another one.

    Args:
        images: (I, D) unit vectors.
        groups: (I,) group of each photo; -1: none.

    Returns:
        (Q,) rows of the queries, and (Q, 4) their values in 0 to 1, columns in the order of `NAMES`: R@k is 1 if any of the
        group is among the first k, ties in random order on average; P@10 the share of the first ten that is of the group.
    """
    sizes = np.bincount(groups[groups >= 0], minlength=1)
    rows = np.flatnonzero((groups >= 0) & (sizes[groups] > 1))
    places = torch.from_numpy(groups).to(images.device)
    found = [_hits(images, places, torch.from_numpy(part).to(images.device)) for part in _parts(rows)]
    return rows, np.concatenate(found) if found else np.empty((0, len(NAMES)))


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def _hits(images: Tensor, groups: Tensor, rows: Tensor) -> np.ndarray:
    scores = images[rows] @ images.T  # (b, I)
    scores.scatter_(1, rows[:, None], -torch.inf)  # a photo does not find itself
    right = groups[rows][:, None] == groups
    right.scatter_(1, rows[:, None], False)
    best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
    wrong = scores.masked_fill(right, -torch.inf)
    better, at_least = ((wrong > best + sign * TIE_TOLERANCE).sum(dim=1) for sign in (1, -1))
    first = scores.topk(min(DEPTH, scores.shape[1]), dim=1).indices
    shares = right.gather(1, first).sum(dim=1, keepdim=True).double() / DEPTH
    return torch.cat([Ranks(better, at_least).hits(KS), shares], dim=1).cpu().numpy()
