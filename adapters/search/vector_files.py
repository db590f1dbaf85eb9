"""Files of an embedded index's vectors and of their clusters, by generation.

- ``vectors-G.f32``: float32, row after row, only appended; rows that nobody needs stay until generation G + 1 is written;
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


class VectorFiles:
    """Vectors and clusters in the folder of a build; ``dim``: width D of the vectors."""

    def __init__(self, folder: Path, dim: int):
        self.folder, self.dim = folder, dim

    def read(self, generation: int, rows: int) -> np.ndarray:
        """Maps (rows, D) float32 from disk, copy on write: PyTorch wants writable arrays.

        Raises:
            IndexTrouble: the file is cut or missing.
        """
        if not rows:
            return np.empty((0, self.dim), np.float32)
        path = self._vectors(generation)
        if not path.is_file() or path.stat().st_size < 4 * rows * self.dim:
            raise IndexTrouble(f"{path} is cut or missing; build the index again by e2 index build --overwrite")
        return np.memmap(path, np.float32, mode="c", shape=(rows, self.dim))

    def append(self, generation: int, start: int, vectors: np.ndarray) -> None:
        """Writes rows from ``start`` on, overwriting uncommitted ones of a dead process."""
        path = self._vectors(generation)
        with path.open("r+b" if path.exists() else "xb") as file:
            if file.seek(0, os.SEEK_END) < 4 * start * self.dim:
                raise IndexTrouble(f"{path} is cut; build the index again by e2 index build --overwrite")
            file.seek(4 * start * self.dim)
            file.write(vectors.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def begin(self, generation: int, parts: Iterable[np.ndarray]) -> None:
        """Writes a new generation's rows, part by part."""
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
        return Clusters.load(self._clusters(generation, upto, trained), upto, trained)

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
        return self.folder / f"vectors-{generation}.f32"

    def _clusters(self, generation: int, upto: int, trained: int) -> Path:
        return self.folder / f"clusters-{generation}-{upto}-{trained}.faiss"
