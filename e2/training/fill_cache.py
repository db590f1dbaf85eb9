"""Runs a catalogue's photos through the frozen front of a tower and keeps the activations (``e2.training.tower_cache``).

Size and time are announced before. Files appear whole or not at all, so a killed run continues where it was; several processes
share the work.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2.activations import half_precision
from e2.counting import counted
from e2.data.loader import worker_options
from e2.data.lost import LostPhoto, LostPhotos
from e2.data.photo_views import PhotoViews, blank
from e2.distributed import processes
from e2.errors import InputError
from e2.files import atomic_tensors
from e2.front import Front
from e2.lockfile import LockFile
from e2.model import E2
from e2.modes import in_mode
from e2.progress import with_progress
from e2.towers import open_tower
from e2.training.cache_room import announce
from e2.training.tower_cache import FOUND, TowerCache, open_cache

AT_ONCE = 16  # photos that the tower sees at a time; more no longer fit a CPU's cache
Where = tuple[int, int]  # view and shard


class Decoded(Dataset):
    """Pixels of a photo by (view, row), and what was lost on the way."""

    def __init__(self, pictures: PhotoViews):
        self.pictures = pictures

    def __getitem__(self, where: tuple[int, int]) -> tuple[Tensor | None, list[str]]:
        lost: list[str] = []
        return self.pictures.pixels(*where, lost), lost


@dataclass(frozen=True)
class CacheFiller:
    """Writes what is missing of a cache.

    Attributes:
        cache: to be filled.
        pictures: the photos.
        model: on its device.
        front: layers to run, and what to keep of them.
        workers: processes that decode photos.
        context: entered around each pass (autocast).
    """

    cache: TowerCache
    pictures: PhotoViews
    model: E2
    front: Front
    workers: int
    context: Callable[[], AbstractContextManager]

    def fill(self) -> None:
        """Writes this process's share and waits for the others.

        Raises:
            InputError: no room on the disk, or numbers beyond half precision.
            LostPhoto: a photo cannot be read and may not be left out.
        """
        state = processes()
        with LockFile(self.cache.folder / f".{state.process_index}.lock").held():  # another run may be writing the same
            shards = self.cache.missing(state.process_index, state.num_processes)
            if shards:
                with in_mode(self.model, training=False):
                    self._announce(shards)
                    for where, rows in self._activations(shards):
                        self._write(where, rows)
        state.wait_for_everyone()

    def _announce(self, shards: list[Where]) -> None:
        """Says what will be written, its size and the time it takes.

        Raises:
            InputError: the disk cannot hold it.
        """
        photos = sum(len(self.cache.rows(shard)) for _, shard in shards)
        size, seconds = photos * self.cache.bytes_a_photo(), self._seconds_a_photo() * photos
        announce(counted(photos, "photo"), size, self.cache.folder.parent, seconds)

    def _seconds_a_photo(self) -> float:
        """Time of the frozen layers, by the second of two passes."""
        images = self.cache.transform.normalised(blank(self.cache.transform)).expand(AT_ONCE, -1, -1, -1)
        for _ in range(2):
            start = time.monotonic()
            self._run(images)
        return (time.monotonic() - start) / AT_ONCE

    def _activations(self, shards: list[Where]) -> Iterator[tuple[Where, dict[str, Tensor]]]:
        """Yields each shard's activations by name."""
        batches = [(where, rows) for where in shards for rows in _parts(self.cache.rows(where[1]))]
        loader = DataLoader(
            Decoded(self.pictures),
            batch_sampler=[[(view, row) for row in rows] for (view, _), rows in batches],
            collate_fn=list,
            **worker_options(self.workers),
        )
        lost = LostPhotos("the cache goes without a photo that cannot be read")
        parts: list[dict[str, Tensor]] = []
        for (where, _), following, photos in zip(
            batches, [*batches[1:], None], with_progress(loader, "frozen layers", len(batches)), strict=True
        ):
            parts.append(self._batch(photos, lost))
            if following is None or following[0] != where:
                yield where, {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
                parts = []
        lost.close()

    def _batch(self, photos: list[tuple[Tensor | None, list[str]]], lost: LostPhotos) -> dict[str, Tensor]:
        """Activations by name of some photos."""
        messages = [message for _, told in photos for message in told]
        found = torch.tensor([pixels is not None for pixels, _ in photos])
        if self.pictures.on_bad_row == "error" and not found.all():
            raise LostPhoto(messages[0])
        lost.note(messages)
        pixels = torch.stack([blank(self.cache.transform) if photo is None else photo for photo, _ in photos])
        rows = {**self._run(self.cache.transform.normalised(pixels)), FOUND: found}
        return {**rows, "pixels": pixels} if self.front.pixels else rows

    def _run(self, images: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> activations by name, in half precision, on the CPU.

        Raises:
            InputError: numbers beyond half precision.
        """
        with self.context():
            kept = self.front.run(open_tower(self.model.visual), images.to(self.model.logit_scale))
        return {name: half_precision(tensor).cpu() for name, tensor in kept.tensors().items()}

    def _write(self, where: Where, rows: dict[str, Tensor]) -> None:
        for name, tensor in rows.items():
            with atomic_tensors(self.cache.file(*where, name), cache=True) as path:
                save_file({"rows": tensor.contiguous()}, path)


def read_from_cache(
    pictures: PhotoViews,
    root: Path,
    model: E2,
    front: Front,
    *,
    views: int,
    precision: str,
    workers: int,
    context: Callable[[], AbstractContextManager],
) -> None:
    """Lets ``pictures`` be read from the cache in the folder ``root``, after writing what is missing there.

    Args:
        pictures: the photos.
        root: of the caches of all towers and catalogues.
        model, front, context: as `CacheFiller`'s.
        views: of each photo.
        precision: in which the front computes.
        workers: processes that decode photos.

    Raises:
        InputError: a folder that cannot be written, no room, numbers beyond half precision, or a tower that drops parts at
            random.
        LostPhoto: a photo cannot be read and may not be left out.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache {root}: cannot be written ({error.strerror}); name another folder") from error
    cache = open_cache(root, model, front, pictures, views=views, precision=precision)
    CacheFiller(cache, pictures, model, front, workers, context).fill()
    pictures.cache = cache


def _parts(rows: range) -> list[range]:
    """Rows that the tower sees at a time."""
    return [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
