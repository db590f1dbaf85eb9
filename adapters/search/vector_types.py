"""Types of an index's vectors: fewer bits a number keep more products in the same memory.

Products' vectors are unit vectors, so a type keeps their direction, and what is read is made a unit vector again:

========  ================  =============================================  =========================================
type      bytes a number    in the file of vectors, which decides scores   in memory, to find candidates among many
========  ================  =============================================  =========================================
float32   4 + 1             as they are                                    8 bits
float16   2 + 1             rounded to half precision                      8 bits
int8      1 + 1             whole numbers, the largest of a vector 127     8 bits
binary    1 + 1/8           as int8                                        1 bit (RaBitQ)
========  ================  =============================================  =========================================

That is so in a folder. A Milvus server keeps the rounded vectors as float32 on its disks, so that scores are the same, and has
in memory the same codes of 8 bits or 1 bit, or, for float32, the vectors.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from e2.adapters.unit_vectors import normalised

SPARE = 4  # candidates per requested hit, whose exact scores decide
FEWEST = 200  # candidates
COARSER = 4  # times as many where codes have 1 bit a number


def candidates(k: int, bits: int) -> int:
    """Number of products that codes of 8 bits or 1 bit a number choose for ``k`` hits, whose scores the vectors decide."""
    return max(FEWEST, SPARE * k) * (COARSER if bits == 1 else 1)


@dataclass(frozen=True)
class VectorType:
    """Form in which an index keeps its vectors; see the module's docstring."""

    dtype: np.dtype  # of the numbers in the file
    suffix: str  # of the file
    bits: int  # of a number in the clusters' codes, 8 or 1

    def encoded(self, vectors: np.ndarray) -> np.ndarray:
        """Rounds unit vectors (N, D) float32 to the rows of the file."""
        if self.dtype == np.int8:
            largest = np.abs(vectors).max(axis=1, keepdims=True, initial=1e-12)
            return np.rint(vectors * (127 / largest)).astype(np.int8)
        return vectors.astype(self.dtype)

    def rounded(self, vectors: np.ndarray) -> np.ndarray:
        """Rounds unit vectors (N, D) to those that are read from the rows of the file."""
        return KeptVectors(self.encoded(vectors))[:]


TYPES = {
    "float32": VectorType(np.dtype("<f4"), "f32", 8),
    "float16": VectorType(np.dtype("<f2"), "f16", 8),
    "int8": VectorType(np.dtype("i1"), "i8", 8),
    "binary": VectorType(np.dtype("i1"), "i8", 1),
}


class KeptVectors:
    """Vectors of an index, read as float32 some rows at a time.

    Args:
        rows: (S, D) of the file, mapped from disk; those of deleted products included.
    """

    def __init__(self, rows: np.ndarray):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> np.ndarray:
        """Returns unit vectors (N, D) float32 at some rows (N,)."""
        rows = self.rows[chosen]
        return rows if self.exact else normalised(rows)

    @property
    def width(self) -> int:
        """D."""
        return self.rows.shape[1]

    @property
    def exact(self) -> bool:
        """True if nothing was rounded: ``rows`` are the vectors."""
        return self.rows.dtype == np.float32
