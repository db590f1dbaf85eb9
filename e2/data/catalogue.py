"""Products out of Arrow columns: images are read, decoded and copied only on demand."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from e2.data import cache
from e2.data.cells import INLINE
from e2.data.columns import REGIONS
from e2.data.images import BadImage
from e2.data.paths import photo_in, photo_path
from e2.data.product import Box, Product
from e2.json_once import loads_once


class ImageStore(Protocol):
    """Reader of a catalogue's images. Picklable; opens files in the process that reads them."""

    may_be_damaged: bool = True  # whether opening the catalogue has to decode each image once

    def known_good(self, entry: dict[str, Any]) -> bool:
        """Tells whether an entry's image was decoded before."""
        return False

    def read(self, entry: dict[str, Any]) -> bytes | Path:
        """Reads the encoded image of one entry of an ``images`` cell.

        Raises:
            BadImage: it cannot be read.
        """

    def digest(self, images: pa.ChunkedArray) -> str:
        """Digest that changes when an image does without the source's own files changing; empty if that is impossible."""
        return ""


@dataclass(frozen=True)
class FilesAndBytes(ImageStore):
    """Images inside the table, or files beside it."""

    root: Path  # what relative paths are relative to

    def read(self, entry: dict[str, Any]) -> bytes | Path:
        """Returns the entry's bytes, or else its path."""
        return entry["bytes"] if entry["bytes"] is not None else photo_in(self.root, entry["path"])

    def digest(self, images: pa.ChunkedArray) -> str:
        """Digest of the files' sizes and modification times."""
        return cache.digest_of_stamps(self._files(images))

    def _files(self, images: pa.ChunkedArray) -> Iterator[Path]:
        for chunk in images.chunks:
            entries = chunk.flatten()
            for path in entries.field("path").filter(entries.field("bytes").is_null()):
                with contextlib.suppress(BadImage):
                    if not INLINE.match(path.as_py()):
                        yield photo_path(self.root, path.as_py())


class Photos(Sequence[bytes | Path]):
    """Encoded images of one product, read on demand. Equals, and pickles as, a tuple of them."""

    def __init__(self, entries: pa.Array, store: ImageStore):
        self._entries, self._store = entries, store

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return tuple(self[i] for i in range(len(self))[place])
        return self._store.read(self._entries[range(len(self))[place]].as_py())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (Photos, tuple)) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # Python's own way to say it

    def __reduce__(self) -> tuple:
        return tuple, (tuple(self),)


@dataclass(eq=False)
class ArrowCatalogue:
    """One split of a catalogue, over a table made by `e2.data.columns.normalise`.

    Pickles as the recipe to load the table again, so that sending it to a worker process moves no image.
    """

    name: str  # the SPEC it was read from
    split: str
    tags: tuple[str, ...]
    load: Callable[[], pa.Table]  # must be picklable and give the same rows each time
    images: ImageStore
    columns: tuple[str, ...] = ()  # all columns of the source, for messages about possible tags
    rows: np.ndarray | None = None  # the table's usable rows; None: all
    bad_rows: dict[str, int] = field(default_factory=dict)  # cause -> number of rows left out
    lost: dict[int, tuple[int, ...]] = field(default_factory=dict)  # the table's row -> photos left out, others are kept
    notes: dict[str, dict[str, int]] = field(default_factory=dict)  # note -> value -> number of usable rows
    with_images: bool = True

    def __post_init__(self) -> None:
        self.table = self.load()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "table"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.table = self.load()

    def __copy__(self) -> "ArrowCatalogue":  # the default would go through pickle's hooks and load the table again
        clone = object.__new__(ArrowCatalogue)
        clone.__dict__.update(self.__dict__)
        return clone

    def __len__(self) -> int:
        return self.table.num_rows if self.rows is None else len(self.rows)

    def __getitem__(self, index: int) -> Product:
        row = range(len(self))[index]  # accepts negative indices, raises IndexError beyond the end
        row = row if self.rows is None else int(self.rows[row])
        tags = ((entity, self._cell(f"tag:{entity}", row)) for entity in self.tags)
        return Product(
            product_id=self._cell("product_id", row),
            images=self._images(row),
            captions=tuple(self._cell("captions", row)) or ("",),  # empty only where `open_catalogue` needs no texts
            tags={entity: value for entity, value in tags if value is not None},
            regions=self._regions(row),
        )

    def __iter__(self) -> Iterator[Product]:
        return (self[row] for row in range(len(self)))

    def ids(self) -> pa.Array:
        """Ids of all products."""
        ids = self.table.column("product_id").combine_chunks()
        return ids if self.rows is None else ids.take(pa.array(self.rows))

    def text_only(self) -> "ArrowCatalogue":
        """Same catalogue with empty image bytes: passes over a large catalogue's texts without reading photos."""
        clone = copy.copy(self)
        clone.with_images = False
        return clone

    def _cell(self, column: str, row: int) -> Any:
        return self.table.column(column)[row].as_py()

    def _images(self, row: int) -> Sequence[bytes | Path]:
        cell = self.table.column("images")[row]
        if not self.with_images:
            return (b"",) * (len(cell) - len(self.lost.get(row, ())))
        kept = np.setdiff1d(np.arange(len(cell)), self.lost[row]) if row in self.lost else None
        return Photos(cell.values if kept is None else cell.values.take(pa.array(kept)), self.images)

    def _regions(self, row: int) -> dict[str, Box]:
        if REGIONS not in self.table.schema.names:
            return {}
        boxes = parse_regions(self._cell(REGIONS, row))
        return {entity: boxes[entity] for entity in self.tags if entity in boxes}


class Subset:
    """Some products of a catalogue, in the order of ``indices``; e.g. ``Subset(catalogue, range(100))``."""

    def __init__(self, catalogue: "ArrowCatalogue | Subset", indices: Sequence[int] | np.ndarray):
        self.catalogue = catalogue
        self.indices = indices if isinstance(indices, range) else np.asarray(indices, dtype=np.int64)
        self.name: str = catalogue.name
        self.split: str = catalogue.split
        self.tags: tuple[str, ...] = catalogue.tags
        self.columns: tuple[str, ...] = catalogue.columns
        self.bad_rows: dict[str, int] = catalogue.bad_rows
        self.notes: dict[str, dict[str, int]] = catalogue.notes

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Product:
        return self.catalogue[int(self.indices[range(len(self))[index]])]

    def __iter__(self) -> Iterator[Product]:
        return (self[row] for row in range(len(self)))

    def text_only(self) -> "Subset":
        """Same subset with empty image bytes."""
        return Subset(self.catalogue.text_only(), self.indices)


def parse_regions(cell: str | None) -> dict[str, Box]:
    """Parses entity -> box from a ``regions`` cell; empty for anything else, as other data may use the name differently."""
    try:
        found = loads_once(cell or "{}")
        boxes = {str(entity): box for entity, box in found.items() if len(box) == 4}
        return {entity: (float(x0), float(y0), float(x1), float(y1)) for entity, (x0, y0, x1, y1) in boxes.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
