"""Products out of Arrow columns: nothing is decoded or copied before a product is asked for."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from e2.data.columns import REGIONS
from e2.data.product import Box, Product


@dataclass(eq=False)
class ArrowCatalogue:
    """One split of a catalogue over a table as `e2.data.columns.normalise` makes it.

    Pickles as the recipe to load the table again, so that sending it to a worker process moves no image.
    """

    name: str  # the SPEC it was read from
    split: str
    tags: tuple[str, ...]
    load: Callable[[], pa.Table]  # must be picklable and give the same rows each time
    root: Path  # what relative image paths are relative to
    columns: tuple[str, ...] = ()  # everything the source has, for messages about what could be a tag
    rows: np.ndarray | None = None  # the usable rows of the table; None: all
    bad_rows: dict[str, int] = field(default_factory=dict)  # cause -> how many rows were left out
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
        row = range(len(self))[index]  # counts negative indices from the end, raises IndexError beyond it
        row = row if self.rows is None else int(self.rows[row])
        tags = ((entity, self._cell(f"tag:{entity}", row)) for entity in self.tags)
        return Product(
            product_id=self._cell("product_id", row),
            images=self._images(row),
            captions=tuple(self._cell("captions", row)),
            tags={entity: value for entity, value in tags if value is not None},
            regions=self._regions(row),
        )

    def text_only(self) -> "ArrowCatalogue":
        """The same with empty bytes for each image: to pass over a large catalogue's texts without reading its photos."""
        clone = copy.copy(self)
        clone.with_images = False
        return clone

    def _cell(self, column: str, row: int) -> Any:
        return self.table.column(column)[row].as_py()

    def _images(self, row: int) -> tuple[bytes | Path, ...]:
        if not self.with_images:
            return (b"",) * len(self.table.column("images")[row])
        return tuple(image_source(image, self.root) for image in self._cell("images", row))

    def _regions(self, row: int) -> dict[str, Box]:
        if REGIONS not in self.table.schema.names:
            return {}
        boxes = parse_regions(self._cell(REGIONS, row))
        return {entity: boxes[entity] for entity in self.tags if entity in boxes}


class Subset:
    """Some products of a catalogue, in the order of ``indices``; e.g. ``Subset(catalogue, range(100))``."""

    def __init__(self, catalogue: ArrowCatalogue, indices: Sequence[int]):
        self.catalogue = catalogue
        self.indices = indices if isinstance(indices, range) else np.asarray(indices, dtype=np.int64)
        self.name, self.split, self.tags = catalogue.name, catalogue.split, catalogue.tags
        self.columns, self.bad_rows = catalogue.columns, catalogue.bad_rows

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Product:
        return self.catalogue[int(self.indices[range(len(self))[index]])]

    def text_only(self) -> "Subset":
        """The same with empty bytes for each image."""
        return Subset(self.catalogue.text_only(), self.indices)


def image_source(image: dict[str, Any], root: Path) -> bytes | Path:
    """One entry of an ``images`` cell as what `e2.data.images.load_image` takes."""
    return image["bytes"] if image["bytes"] is not None else root / image["path"]


def parse_regions(cell: str | None) -> dict[str, Box]:
    """Entity -> box from a ``regions`` cell; empty for anything else, as the column of a stranger may mean otherwise."""
    try:
        found = json.loads(cell or "{}")
        return {str(entity): tuple(map(float, box)) for entity, box in found.items() if len(box) == 4}
    except (ValueError, TypeError, AttributeError):
        return {}
