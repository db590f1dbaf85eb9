"""Groups what occurs more than once: by equal keys, by photos that hardly differ, by vectors that point the same way."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from e2.extras import extra

BITS = 3  # in which the 64-bit hashes of a photo and its copy may differ
SHADES = 14  # of 255, by which a field's mean colour may differ: copies a third as large, or of JPEG quality 20, stay below
BANDS = BITS + 1  # two such hashes are equal in at least one of so many parts
AT_ONCE = 2**14  # pairs whose colours are compared at a time


def equal_keys(keys: Iterable[Hashable], products: Sequence[int] | np.ndarray) -> list[tuple[int, ...]]:
    """Groups the products that share a key, each group once, ordered by its first product.

    Args:
        keys: of each item; None: in no group.
        products: of each item.
    """
    members: dict[Hashable, dict[int, None]] = defaultdict(dict)
    for key, product in zip(keys, products, strict=True):
        if key is not None:
            members[key][int(product)] = None
    return sorted({tuple(sorted(group)) for group in members.values() if len(group) > 1})


def close_photos(hashes: np.ndarray, colours: np.ndarray, products: np.ndarray) -> list[tuple[int, ...]]:
    """Groups the products with photos whose hashes differ in at most `BITS` bits, and whose colours in at most `SHADES`.

    The hashes are compared by FAISS's hash table of parts of them.

    Args:
        hashes: (P, 8) uint8.
        colours: (P, C) uint8.
        products: (P,) product of each photo.
    """
    with extra("check", "e2 data check"):
        import faiss
    distinct, place = np.unique(np.concatenate([hashes, colours], axis=1), axis=0, return_inverse=True)
    hashes, colours = np.split(distinct, [hashes.shape[1]], axis=1)
    hashes = np.ascontiguousarray(hashes)
    index = faiss.IndexBinaryMultiHash(64, BANDS, 64 // BANDS)
    index.add(hashes)
    limits, _, found = index.range_search(hashes, BITS + 1)  # the radius itself is outside
    counts: np.ndarray = limits[1:].astype(np.int64) - limits[:-1].astype(np.int64)
    rows = np.repeat(np.arange(len(distinct)), counts)
    pairs = np.stack([rows, found], axis=1)
    labels = linked(len(distinct), pairs[_same_colours(colours, pairs)])
    return equal_keys(labels[place.ravel()].tolist(), products)


def _same_colours(colours: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Mask (M,) of the pairs (M, 2) of rows whose colours nowhere differ by more than `SHADES`."""
    same = np.empty(len(pairs), bool)
    for start in range(0, len(pairs), AT_ONCE):
        first, second = colours[pairs[start : start + AT_ONCE].T].astype(np.int16)
        same[start : start + AT_ONCE] = np.abs(first - second).max(axis=1) <= SHADES
    return same


def linked(count: int, pairs: np.ndarray) -> np.ndarray:
    """Numbers the connected components of ``count`` items joined by pairs (M, 2): (count,)."""
    with extra("check", "e2 data check"):
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def in_groups(groups: Iterable[Sequence[int]]) -> dict[int, set[int]]:
    """Maps each product to the numbers of the groups that it is in."""
    found: dict[int, set[int]] = defaultdict(set)
    for number, group in enumerate(groups):
        for product in group:
            found[product].add(number)
    return found


def alike(neighbours: np.ndarray, scores: np.ndarray, least: float) -> list[tuple[int, int, float]]:
    """Pairs of neighbours whose cosine is at least ``least``, the most alike first; each pair once.

    Args:
        neighbours: (N, K), -1 = none.
        scores: (N, K) their cosines.
    """
    rows, places = np.nonzero((scores >= least) & (neighbours >= 0))
    others = neighbours[rows, places]
    low, high = np.minimum(rows, others), np.maximum(rows, others)
    first = np.unique(low * len(scores) + high, return_index=True)[1]
    low, high, likeness = low[first], high[first], scores[rows, places][first]
    order = np.lexsort((high, low, -likeness))
    return list(zip(low[order].tolist(), high[order].tolist(), likeness[order].tolist(), strict=True))
