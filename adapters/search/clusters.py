"""Searches millions of vectors by FAISS's inverted file with codes of 8 bits or 1 bit a number.

Vectors are divided into clusters; a query searches only the nearest ones, on the codes. The caller computes the candidates'
scores from the vectors, so that scores are exact and only products may be missed. Chosen by measurement against HNSW,
uncompressed clusters and Milvus Lite (`benchmarks/results/index`).

Jégou et al., Product Quantization for Nearest Neighbor Search (TPAMI 2011), section IV, describes the inverted file; the code
is FAISS's (MIT). Codes of 1 bit: Gao and Long, RaBitQ (SIGMOD 2024), of what a vector differs from its cluster's centre.
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.search.vector_types import KeptVectors
from e2.extras import extra
from e2.files import atomic_path

PROBES = 64  # clusters searched per query
TRAINED_ON = 64  # vectors per cluster
ROWS_AT_ONCE = 65_536
CODES = {8: "SQ8", 1: "RaBitQ"}  # bits of a number -> FAISS's name of the codes
QUERY_BITS = 8  # of a number of the query where codes have 1: all of them take ten times as long and find as much


class Clusters:
    """Vectors of some rows, by cluster.

    Attributes:
        upto: it holds all rows below this number that existed when it was written (some may be deleted).
        trained: number of vectors when the clusters were chosen.
        bits: of a number in the codes, 8 or 1.
    """

    def __init__(self, index, upto: int, trained: int, bits: int):
        self.index, self.upto, self.trained, self.bits = index, upto, trained, bits

    @classmethod
    def of(cls, vectors: KeptVectors, rows: np.ndarray, bits: int) -> "Clusters":
        """Chooses clusters for the vectors at ``rows`` (N,) and adds these."""
        faiss = _faiss()
        lists = int(4 * np.sqrt(len(rows)))
        index = faiss.index_factory(vectors.width, f"IVF{lists},{CODES[bits]}", faiss.METRIC_INNER_PRODUCT)
        index.cp.max_points_per_centroid = TRAINED_ON
        sample = np.random.default_rng(0).choice(rows, min(len(rows), TRAINED_ON * lists), replace=False)
        index.train(np.ascontiguousarray(vectors[np.sort(sample)]))
        made = cls(index, 0, len(rows), bits)
        made.add(vectors, rows)
        return made

    def add(self, vectors: KeptVectors, rows: np.ndarray) -> None:
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
        make: Any = faiss.SearchParametersIVF if self.bits > 1 else faiss.IVFRaBitQSearchParameters  # SWIG hides arguments
        options = make(sel=selector, nprobe=probes, **({} if self.bits > 1 else {"qb": QUERY_BITS}))
        return self.index.search(np.ascontiguousarray(queries), count, params=options)[1]

    def save(self, path: Path) -> None:
        faiss = _faiss()
        with atomic_path(path, cache=True) as temporary:
            faiss.write_index(self.index, str(temporary))

    @classmethod
    def load(cls, path: Path, upto: int, trained: int, bits: int) -> "Clusters":
        """Loads clusters.

        Raises:
            RuntimeError: FAISS cannot read the file.
        """
        faiss = _faiss()
        return cls(faiss.read_index(str(path)), upto, trained, bits)


def _faiss():
    """Imports the package, which only large indexes need."""
    with extra("search", "an index of this many products"):
        import faiss
    return faiss
