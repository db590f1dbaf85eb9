"""Search in millions of vectors without looking at each: FAISS's inverted file with 8-bit codes, then exact scores.

Vectors are parted into clusters; a query looks into the nearest ones only, at codes of a byte a dimension. What it finds there
are candidates: the caller computes their scores from the vectors themselves, so that scores are exact and only a product may
be missed. Chosen by measurement against HNSW, uncompressed clusters and Milvus Lite (`benchmarks/results/index`).

Jégou et al., Product Quantization for Nearest Neighbor Search (TPAMI 2011), section IV, has the inverted file; the code is
FAISS's (MIT).
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.errors import InputError
from e2.files import atomic_path

PROBES = 64  # clusters that a query looks into
TRAINED_ON = 64  # vectors a cluster
ROWS_AT_ONCE = 65_536


class Clusters:
    """The vectors of some rows, by cluster.

    Attributes:
        upto: it holds all rows below this number that were there when it was written (some may have gone since).
        trained: how many there were when the clusters were chosen.
    """

    def __init__(self, index, upto: int, trained: int):
        self.index, self.upto, self.trained = index, upto, trained

    @classmethod
    def of(cls, vectors: np.ndarray, rows: np.ndarray) -> "Clusters":
        """Chooses clusters for the vectors (S, D) at ``rows`` (N,) and puts these in."""
        faiss = _faiss()
        dim, lists = vectors.shape[1], int(4 * np.sqrt(len(rows)))
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.max_points_per_centroid = TRAINED_ON
        sample = np.random.default_rng(0).choice(rows, min(len(rows), TRAINED_ON * lists), replace=False)
        index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
        made = cls(index, 0, len(rows))
        made.add(vectors, rows)
        return made

    def add(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Puts in further rows."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            self.index.add_with_ids(np.ascontiguousarray(vectors[part]), part.astype(np.int64))
        self.upto = max(self.upto, int(rows[-1]) + 1) if len(rows) else self.upto

    def candidates(self, queries: np.ndarray, count: int, allowed: np.ndarray) -> np.ndarray:
        """(Q, count) rows that may be the nearest ones; -1 = none.

        Args:
            queries: (Q, D).
            count: how many for each.
            allowed: (``upto``,) bool, the rows that may be found: the fewer, the more clusters are looked into.
        """
        faiss = _faiss()
        share = max(float(allowed.mean()), 1e-6)
        probes = min(self.index.nlist, int(PROBES / np.sqrt(share)))
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits))
        make: Any = faiss.SearchParametersIVF  # SWIG's classes hide their arguments
        options = make(sel=selector, nprobe=probes)
        return self.index.search(np.ascontiguousarray(queries), count, params=options)[1]

    def save(self, path: Path) -> None:
        faiss = _faiss()
        with atomic_path(path, cache=True) as temporary:
            faiss.write_index(self.index, str(temporary))

    @classmethod
    def load(cls, path: Path, upto: int, trained: int) -> "Clusters":
        """Raises RuntimeError: FAISS cannot read it."""
        faiss = _faiss()
        return cls(faiss.read_index(str(path)), upto, trained)


def _faiss():
    """The package, which only large indexes need."""
    try:
        import faiss
    except ImportError as error:
        raise InputError("so many products need the package faiss-cpu: pip install 'e2-fashion[search]'") from error
    return faiss
