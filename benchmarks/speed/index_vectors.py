"""Makes random products for index measurements: clustered unit vectors and tags, block by block, so that any number fits.

Block b is always the same. Vectors scatter around a thousand centres (cosine to the centre 0.8), tags are uniform: a colour is
a tenth of the products, a brand a hundredth, a line about a hundred products.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from e2.adapters.search.store import Entry, Manifest
from e2.version import __version__

BLOCK = 10_000
CENTRES, SCATTER = 1000, 0.7
ENTITIES = ("colour", "brand", "line")
COLOURS, BRANDS, OF_A_LINE = 10, 100, 100
FILTERS = {"a tenth": 'colour == "c3"', "a hundredth": 'brand == "b7"', "a hundred": 'line == "l5"'}


def manifest(width: int, vector_type: str = "float32") -> Manifest:
    encoder = {"path": "random", "weights_sha256": "", "backbone": "none", "method": "random"}
    return Manifest(encoder, "random", "test", ENTITIES, width, "", __version__, vector_type=vector_type)


def block(number: int, width: int) -> np.ndarray:
    """Makes (BLOCK, D) unit vectors."""
    rng = np.random.default_rng([1, number])
    vectors = _centres(width)[rng.integers(0, CENTRES, BLOCK)]
    vectors += SCATTER * rng.standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def queries(count: int, width: int) -> np.ndarray:
    """Draws (Q, D) queries from the same distribution, none of them a product."""
    return block(2**31, width)[:count]


def tags(row: int, total: int) -> dict[str, str]:
    """Tags of product ``row`` of ``total``."""
    lines = max(1, total // OF_A_LINE)
    mixed = row * 2_654_435_761 % 2**32  # neighbours get unlike tags
    return {"colour": f"c{mixed % COLOURS}", "brand": f"b{mixed // 16 % BRANDS}", "line": f"l{mixed // 2048 % lines}"}


def passing(name: str, total: int) -> np.ndarray:
    """(N,) bool: the products that one of `FILTERS` should take, told by their tags."""
    entity, value = FILTERS[name].replace('"', "").split(" == ")
    return np.fromiter((tags(row, total)[entity] == value for row in range(total)), bool, total)


def entries(total: int, width: int) -> Iterator[list[Entry]]:
    """Yields all products, a block at a time."""
    for start in range(0, total, BLOCK):
        vectors = block(start // BLOCK, width)[: total - start]
        yield [
            Entry(str(row), "", f"product {row}", tags(row, total), b"", vector) for row, vector in enumerate(vectors, start)
        ]


def nearest(asked: np.ndarray, total: int, k: int, kept: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Finds exact nearest rows (Q, <= k), unordered, within each mask of ``kept`` (N,): plain NumPy, in blocks."""
    scores = [np.empty((len(asked), 0), np.float32) for _ in kept]
    rows = [np.empty((len(asked), 0), np.int64) for _ in kept]
    for start in range(0, total, BLOCK):
        products = asked @ block(start // BLOCK, asked.shape[1])[: total - start].T
        for place, mask in enumerate(kept):
            part = np.flatnonzero(mask[start : start + BLOCK])
            scores[place] = np.concatenate([scores[place], products[:, part]], 1)
            rows[place] = np.concatenate([rows[place], np.broadcast_to(part + start, (len(asked), len(part)))], 1)
            order = np.argpartition(-scores[place], min(k, scores[place].shape[1]) - 1, axis=1)[:, :k]
            scores[place] = np.take_along_axis(scores[place], order, 1)
            rows[place] = np.take_along_axis(rows[place], order, 1)
    return rows


def recall(found: Sequence[Sequence[str]], exact: np.ndarray) -> float:
    """Share of the exact neighbours found, averaged over queries; ids are row numbers."""
    return float(np.mean([len(set(map(int, ids)) & set(best)) / len(best) for ids, best in zip(found, exact, strict=True)]))


def _centres(width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((CENTRES, width), dtype=np.float32)
