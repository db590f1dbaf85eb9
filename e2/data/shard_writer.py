"""Writes products as tar shards in WebDataset's layout, which `e2.data.shards` and the package ``webdataset`` read."""

import io
import itertools
import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from e2.data.images import known_formats
from e2.data.product import Product

ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
ENDINGS |= {"AVIF": "avif", "JPEG2000": "jp2", "HEIF": "heic"}


def write_shards(folder: Path, split: str, products: Iterable[Product], products_a_shard: int) -> int:
    """Writes ``folder/SPLIT-000000.tar`` and so on; equal products give equal bytes. Returns the number of products."""
    products, written, shard = iter(products), 0, 0
    while (first := next(products, None)) is not None:
        group = itertools.chain([first], itertools.islice(products, products_a_shard - 1))
        written += write_shard(folder / f"{split}-{shard:06d}.tar", group, written)
        shard += 1
    return written


def write_shard(file: Path, products: Iterable[Product], first: int) -> int:
    """Writes one shard, whose samples are numbered from ``first``. Returns the number of products."""
    end = first
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
        for product in products:
            for ending, contents in _files(product):
                _add(tar, f"{end:09d}.{ending}", contents)
            end += 1
    return end - first


def _files(product: Product) -> Iterator[tuple[str, bytes]]:
    """Yields ending and content of each file of a product's sample."""
    for number, image in enumerate(product.images):
        contents = image if isinstance(image, bytes) else image.read_bytes()
        yield (f"{number}." if number else "") + _ending(contents), contents
    yield "json", json.dumps(_record(product), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _record(product: Product) -> dict[str, Any]:
    captions = list(product.captions)
    record = {"product_id": product.product_id, "caption": captions if len(captions) > 1 else captions[0], **product.tags}
    return record | ({"regions": dict(product.regions)} if product.regions else {})


def _ending(contents: bytes) -> str:
    with Image.open(io.BytesIO(contents), formats=known_formats()) as image:
        return ENDINGS[str(image.format)]


def _add(tar: tarfile.TarFile, name: str, contents: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(contents)
    tar.addfile(member, io.BytesIO(contents))
