"""Fingerprints a catalogue's products, so that a resumed job does not mix two catalogues.

Ids, texts, tags and the sizes (or names) of the photos are hashed, in order; no photo is read. A million products take
seconds. What is kept on disk for later jobs goes by the photos themselves (`photo_digest`).
"""

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data.cache import size_and_time
from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.mixture import Mixture
from e2.data.product import Catalogue, Product
from e2.errors import InputError

ROWS = 65_536  # products hashed at a time


def fingerprint(catalogue: Catalogue) -> str:
    """SHA-256 over the products of a split, in hexadecimal."""
    if isinstance(catalogue, Subset):
        return digest([fingerprint(catalogue.catalogue), np.asarray(catalogue.indices, np.int64).tobytes().hex()])
    if isinstance(catalogue, Mixture):
        return digest(fingerprint(each) for each in catalogue.catalogues)
    if isinstance(catalogue, ArrowCatalogue):
        return digest(_lines_of_table(catalogue))
    return digest(_line(catalogue[row]) for row in range(len(catalogue)))


def photo_digest(catalogue: Catalogue) -> str:
    """SHA-256 over ids and photos: the bytes of those in memory; name, size and time of change of files."""
    return digest(_photo_line(catalogue[row]) for row in range(len(catalogue)))


def _photo_line(product: Product) -> str:
    return repr([product.product_id, [_contents(image) for image in product.images]])


def _contents(image: bytes | Path) -> object:
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    return image.name, *size_and_time(image)


def facts(catalogue: Catalogue) -> dict[str, Any]:
    """Facts about its data that a resumable state keeps, for `require_same`."""
    return {"products": len(catalogue), "sha256": fingerprint(catalogue)}


def require_same(what: str, noted: dict[str, Any] | None, found: dict[str, Any]) -> None:
    """Refuses data that differ from those a job was started with; differing counts are reported."""
    if noted is None or noted == found:
        return
    told = [f"{noted[name]:,} then, {count:,} now" for name, count in found.items() if name != "sha256"]
    same = all(noted[name] == count for name, count in found.items() if name != "sha256")
    how = "same number, different content" if same else told[0]
    raise InputError(f"{what} have changed since the start ({how}); resume with the same data, or start anew by --overwrite")


def digest(lines: Iterable[str]) -> str:
    """SHA-256 over texts; their boundaries count."""
    sha = hashlib.sha256()
    for line in lines:
        data = line.encode("utf-8", "surrogatepass")
        sha.update(len(data).to_bytes(8, "little") + data)
    return sha.hexdigest()


def _lines_of_table(catalogue: ArrowCatalogue) -> Iterator[str]:
    table = catalogue.table
    yield "" if catalogue.rows is None else np.asarray(catalogue.rows, np.int64).tobytes().hex()
    for name in ("product_id", "captions", *(f"tag:{entity}" for entity in catalogue.tags)):
        yield name
        for start in range(0, len(table), ROWS):  # in blocks of a fixed size, whatever the chunks of the column
            yield repr(table.column(name).slice(start, ROWS).to_pylist())
    if catalogue.lost:
        yield repr(sorted(catalogue.lost.items()))
    for start in range(0, len(table), ROWS):
        yield repr(list(_photos(table.column("images").slice(start, ROWS))))


def _photos(images: pa.ChunkedArray) -> Iterator[tuple[Any, ...]]:
    """Number of photos per product; then each photo's size if its bytes are there, and its path or location."""
    for chunk in images.chunks:
        yield from ((count,) for count in pc.list_value_length(chunk).to_pylist())
    for chunk in images.chunks:
        fields = chunk.flatten().flatten()  # photos, then the struct's fields
        yield from zip(*(_told(field).to_pylist() for field in fields), strict=True)


def _told(field: pa.Array) -> pa.Array:
    binary = pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    return pc.binary_length(field) if binary else field


def _line(product: Product) -> str:
    return repr([product.product_id, product.captions, _sizes(product), sorted(product.tags.items())])


def _sizes(product: Product) -> list[int | str]:
    return [len(image) if isinstance(image, bytes) else image.name for image in product.images]
