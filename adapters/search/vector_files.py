"""Files of an embedded index's vectors and of their clusters, by generation.

- ``vectors-G.f32`` (``.f16``, ``.i8`` by `e2.adapters.search.vector_types`): row after row, only appended; rows that nobody
  needs stay until generation G + 1 is written;
- ``clusters-G-U-T.faiss``: rows below U, trained on T (`e2.adapters.search.clusters`); can always be rebuilt.

SQLite knows which generation is the current one, and which rows are products (`e2.adapters.search.local_store`).
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from e2.adapters.search.clusters import Clusters
from e2.adapters.search.folder import CLUSTERS, VECTORS
from e2.adapters.search.store import IndexTrouble
from e2.adapters.search.vector_types import KeptVectors, VectorType


class VectorFiles:
    """Vectors and clusters in the folder of a build; ``dim``: width D of the vectors; ``kind``: their type."""

    def __init__(self, folder: Path, dim: int, kind: VectorType):
        self.folder, self.dim, self.kind = folder, dim, kind
        self.row_bytes = dim * kind.dtype.itemsize

    def read(self, generation: int, rows: int) -> KeptVectors:
        """Maps the first rows from disk, copy on write: PyTorch wants writable arrays.

        Raises:
            IndexTrouble: the file is cut or missing.
        """
        if not rows:
            return KeptVectors(np.empty((0, self.dim), self.kind.dtype))
        path = self._vectors(generation)
        if not path.is_file() or path.stat().st_size < rows * self.row_bytes:
            raise IndexTrouble(f"{path} is cut or missing; build the index again by e2 index build --overwrite")
        return KeptVectors(np.memmap(path, self.kind.dtype, mode="c", shape=(rows, self.dim)))

    def append(self, generation: int, start: int, vectors: np.ndarray) -> None:
        """Writes unit vectors (N, D) float32 to the rows from ``start`` on, overwriting uncommitted ones of a dead process."""
        path = self._vectors(generation)
        with path.open("r+b" if path.exists() else "xb") as file:
            if file.seek(0, os.SEEK_END) < start * self.row_bytes:
                raise IndexTrouble(f"{path} is cut; build the index again by e2 index build --overwrite")
            file.seek(start * self.row_bytes)
            file.write(self.kind.encoded(vectors).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def begin(self, generation: int, parts: Iterable[np.ndarray]) -> None:
        """Writes a new generation's rows, part by part, as `KeptVectors.rows` of the former."""
        with self._vectors(generation).open("wb") as file:
            for part in parts:
                file.write(np.ascontiguousarray(part).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def clusters(self, generation: int, kept: Clusters | None) -> Clusters | None:
        """Newest clusters of a generation, not read if they are those ``kept``; None without any that FAISS can read."""
        if (newest := max(self._cluster_names(generation), default=None)) is None:
            return None
        _, upto, trained = newest
        if kept and (kept.upto, kept.trained) == (upto, trained):
            return kept
        with contextlib.suppress(RuntimeError):  # a damaged file only costs speed
            return self.load_clusters(generation, upto, trained)
        return None

    def load_clusters(self, generation: int, upto: int, trained: int) -> Clusters:
        """Reads clusters.

        Raises:
            RuntimeError: FAISS cannot read the file.
        """
        return Clusters.load(self._clusters(generation, upto, trained), upto, trained, self.kind.bits)

    def save_clusters(self, generation: int, clusters: Clusters) -> None:
        clusters.save(self._clusters(generation, clusters.upto, clusters.trained))

    def remove_others(self, generation: int) -> None:
        """Removes files of other generations or dead processes, and all clusters but the newest."""
        kept = {self._vectors(generation).name}
        kept |= {self._clusters(*max(names)).name for names in [self._cluster_names(generation)] if names}
        for name in os.listdir(self.folder):
            if name not in kept and (VECTORS.fullmatch(name) or CLUSTERS.fullmatch(name)):
                (self.folder / name).unlink()

    def _cluster_names(self, generation: int) -> list[tuple[int, int, int]]:
        """``generation``, ``upto`` and ``trained`` of each cluster file of a generation."""
        found = (match.groups() for match in map(CLUSTERS.fullmatch, os.listdir(self.folder)) if match)
        return [(generation, int(upto), int(trained)) for of, upto, trained in found if int(of) == generation]

    def _vectors(self, generation: int) -> Path:
        return self.folder / f"vectors-{generation}.{self.kind.suffix}"

    def _clusters(self, generation: int, upto: int, trained: int) -> Path:
        return self.folder / f"clusters-{generation}-{upto}-{trained}.faiss"
