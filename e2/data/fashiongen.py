"""``fashiongen:DIR``: the HDF5 files of Fashion-Gen (Rostamzadeh et al. 2018), ``fashiongen_256_256_{train,validation}.h5``.

A row is a photo (``input_image``, uint8, H x W x 3) with byte-string fields in Latin-1 (``input_description``,
``input_productID``, ...); the rows of one productID are the photos of one product. Papers test on the published "validation"
file, so it is served as ``test``; ``val`` is split off the train file: 2 % of its products, at most 2,000, drawn with a fixed
seed. Texts are read when the catalogue is opened, photos on demand.
"""

import contextlib
import functools
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from e2.counting import counted
from e2.data import cache
from e2.data.catalogue import ImageStore
from e2.data.columns import Columns, normalise
from e2.data.images import BadImage
from e2.data.tables import require_columns
from e2.errors import InputError, in_short
from e2.extras import extra

FILES = {"train": "fashiongen_256_256_train.h5", "test": "fashiongen_256_256_validation.h5"}
HELD_OUT, MOST_HELD_OUT, HELD_OUT_SEED = 0.02, 2000, 0
PREFIX = "input_"
RENAMED = {"productID": "product_id", "description": "caption", "subcategory": "sub_category"}
PHOTOS = f"{PREFIX}image"
ROWS_AT_ONCE = 8192  # fixed-length texts are padded: reading all of them at once would take gigabytes


class FashionGenSource:
    """Fashion-Gen's files in a folder; ``argument`` is the part of the SPEC after the colon."""

    entities = ("composition", "season", "brand", "sub_category", "category", "gender")
    one_split = False

    def __init__(self, argument: str):
        folder = Path(argument).expanduser()
        found = {split: folder / name for split, name in FILES.items() if (folder / name).is_file()}
        if not found:
            names = " nor ".join(FILES.values())
            raise InputError(f"fashiongen:{argument}: neither {names} is in there; name their folder")
        self.files = found | ({"val": found["train"]} if "train" in found else {})

    def splits(self) -> tuple[str, ...]:
        return tuple(split for split in ("train", "val", "test") if split in self.files)

    def columns(self, split: str) -> tuple[str, ...]:
        return tuple(_fields(self.files[split]))

    def identity(self, split: str) -> list[object]:
        return [split, *cache.file_stamps([self.files[split]])]

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        """Picklable function that loads the products of a split, their photos as row numbers."""
        require_columns(self.files[split], self.columns(split), columns.needed(tags))
        return functools.partial(load_split, self.files[split], split, tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> "PixelRows":
        """Pixels inside the file."""
        return PixelRows(self.files[split], _fields(self.files[split])[columns.image])


@dataclass(frozen=True)
class PixelRows(ImageStore):
    """Photos as rows of a pixel array, served as BMP, which is little more than the pixels."""

    file: Path
    field: str
    may_be_damaged = False  # any pixels are a picture, so there is nothing to check beforehand

    def read(self, entry: dict[str, Any]) -> bytes:
        row = entry["row"]
        try:
            pixels = _opened(self.file, os.getpid())[self.field][row]
        except (OSError, KeyError, InputError) as error:
            raise BadImage(f"{self.file}, row {row + 1:,}", f"it cannot be read ({in_short(error)})") from error
        picture = io.BytesIO()
        Image.fromarray(pixels).save(picture, "BMP")
        return picture.getvalue()


def load_split(file: Path, split: str, tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads the products of one split as a normalised table: one row per productID with all its photos, in the file's order.

    A product's captions are the distinct descriptions of its rows, its tags the first non-missing ones.
    """
    rows = _text_rows(file, tags, columns)
    ids, first = rows.column("product_id").combine_chunks().dictionary_encode(), 0
    codes = np.asarray(ids.indices.fill_null(-1))
    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    bounds = np.flatnonzero(np.diff(codes[order], prepend=-1, append=-1))
    products = np.arange(len(ids.dictionary))
    if split != "test":
        held_out = _held_out(len(products))
        products = held_out if split == "val" else np.setdiff1d(products, held_out)
    photos = [order[bounds[product] : bounds[product + 1]] for product in products]
    texts = rows.column("captions").to_pylist()
    captions = [list(dict.fromkeys(text for row in mine for text in texts[row])) for mine in photos]
    done = {
        "product_id": ids.dictionary.take(pa.array(products)),
        "captions": pa.array(captions, pa.list_(pa.string())),
    }
    for entity in tags:
        values = rows.column(f"tag:{entity}").to_pylist()
        found = (next((values[row] for row in mine if values[row] is not None), None) for mine in photos)
        done[f"tag:{entity}"] = pa.array(found, pa.string())
    counts = np.cumsum([first, *map(len, photos)])
    places = pa.StructArray.from_arrays([pa.array(np.concatenate([*photos, np.array([], np.int64)]))], names=["row"])
    done["images"] = pa.ListArray.from_arrays(pa.array(counts, pa.int32()), places)
    return pa.table(done)


def _held_out(products: int) -> np.ndarray:
    """Products of the train file that form the val split, ascending; none if there are fewer than two."""
    count = min(MOST_HELD_OUT, max(1, round(HELD_OUT * products))) if products > 1 else 0
    return np.sort(np.random.default_rng(HELD_OUT_SEED).permutation(products)[:count])


def _text_rows(file: Path, tags: Sequence[str], columns: Columns) -> pa.Table:
    """Normalised texts of every photo; rows without a productID are left as null."""
    fields = _fields(file)
    wanted = [name for name in dict.fromkeys(columns.needed(tags)) if name != columns.image]
    with _clear_errors(file):
        opened = _opened(file, os.getpid())
        count = len(opened[fields[columns.image]])
        _check_shapes(file, opened, fields, columns.image, wanted)
        parts = [
            normalise(
                pa.table({name: pa.array(_texts(opened[fields[name]][start : start + ROWS_AT_ONCE])) for name in wanted}),
                tags,
                columns,
                str(file),
                nulls=False,
            )
            for start in range(0, count, ROWS_AT_ONCE)
        ]
    if not parts:
        raise InputError(f"{file}: there are no rows; name a folder with the complete files")
    return pa.concat_tables(parts)


def _check_shapes(file: Path, opened: Any, fields: dict[str, str], image: str, texts: Sequence[str]) -> None:
    pixels = opened[fields[image]]
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        raise InputError(f"{file}: {fields[image]} is {pixels.dtype} {pixels.shape}; expected uint8 (N, height, width, 3)")
    for name in texts:
        if opened[fields[name]].shape not in ((len(pixels),), (len(pixels), 1)):
            raise InputError(
                f"{file}: {fields[name]} is of shape {opened[fields[name]].shape}; "
                f"expected one value for each of the {counted(len(pixels), 'photo')}"
            )


def _texts(cells: np.ndarray) -> list[str]:
    """Decodes byte strings (Latin-1), strings or numbers, (N,) or (N, 1), to strings."""
    flat = cells.reshape(-1).tolist()
    return [cell.decode("latin-1").rstrip("\0") if isinstance(cell, bytes) else str(cell) for cell in flat]


def _fields(file: Path) -> dict[str, str]:
    """Maps our field names to the file's."""
    with _clear_errors(file):
        names = [name for name in _opened(file, os.getpid()) if name.startswith(PREFIX)]
    plain = (name.removeprefix(PREFIX) for name in names)
    return {RENAMED.get(name, name): field for name, field in zip(plain, names, strict=True)}


@functools.lru_cache(maxsize=4)
def _opened(file: Path, process: int) -> Any:
    """Opens the file once per process: HDF5's handles do not survive a fork."""
    with extra("sources", "fashiongen"):
        import h5py
    return h5py.File(file, "r")


@contextlib.contextmanager
def _clear_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, KeyError) as error:  # raised by h5py on damaged files
        raise InputError(f"{file}: cannot be read as HDF5 ({in_short(error)}); fetch it again") from error
