"""Searches millions of vectors by FAISS's inverted file with 8-bit codes, then exact scores.

Vectors are divided into clusters; a query searches only the nearest ones, on codes of a byte per dimension. The caller
computes the candidates' scores from the vectors, so that scores are exact and only products may be missed. Chosen by
measurement against HNSW, uncompressed clusters and Milvus Lite (`benchmarks/results/index`).

Jégou et al., Product Quantization for Nearest Neighbor Search (TPAMI 2011), section IV, describes the inverted file; the code
is FAISS's (MIT).
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.extras import extra
from e2.files import atomic_path

PROBES = 64  # clusters searched per query
TRAINED_ON = 64  # vectors per cluster
ROWS_AT_ONCE = 65_536


class Clusters:
    """Vectors of some rows, by cluster.

    Attributes:
        upto: it holds all rows below this number that existed when it was written (some may be deleted).
        trained: number of vectors when the clusters were chosen.
    """

    def __init__(self, index, upto: int, trained: int):
        self.index, self.upto, self.trained = index, upto, trained

    @classmethod
    def of(cls, vectors: np.ndarray, rows: np.ndarray) -> "Clusters":
        """Chooses clusters for the vectors (S, D) at ``rows`` (N,) and adds these."""
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
        """Adds further rows."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            self.index.add_with_ids(np.ascontiguousarray(vectors[part]), part.astype(np.int64))
        self.upto = max(self.upto, int(rows[-1]) + 1) if len(rows) else self.upto

    def candidates(self, queries: np.ndarray, count: int, allowed: np.ndarray) -> np.ndarray:
        """Finds candidates for the nearest rows, (Q, count); -1 = none.

        Args:
            queries: (Q, D).
            count: number per query.
            allowed: (``upto``,) bool, the rows that may be found: the fewer, the more clusters are searched.
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
        """Loads clusters.

        Raises:
            RuntimeError: FAISS cannot read the file.
        """
        faiss = _faiss()
        return cls(faiss.read_index(str(path)), upto, trained)


def _faiss():
    """Imports the package, which only large indexes need."""
    with extra("search", "an index of so many products"):
        import faiss
    return faiss
