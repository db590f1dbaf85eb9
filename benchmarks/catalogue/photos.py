"""Fingerprints of photos: equal bytes, and what survives resizing and compression: pHash, by imagehash, and mean colours."""

import hashlib
import os
from collections.abc import Callable, Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL.Image import Resampling

from e2.benchmarks.reports.pictures import data_uri
from e2.data.images import load_image
from e2.data.product import Catalogue, Product
from e2.errors import InputError
from e2.extras import extra
from e2.progress import with_progress

BLOCK = 4096  # products handed to the threads at a time, so that memory does not grow with the catalogue
HASHED = 128  # pixels per side that a hash needs at least
GRID = 12  # fields per side whose mean colours are kept: a hash sees no colours, and little of two sunglasses
DOT = 44  # pixels of a photo on the map


class Fingerprint(NamedTuple):
    """Digest of a photo's bytes and its perceptual hash, 8 bytes each, and the mean colours of `GRID` x `GRID` fields."""

    digest: bytes
    perceptual: bytes
    colours: bytes


@dataclass
class PhotoPrints:
    """Fingerprints of all P photos of a catalogue."""

    products: np.ndarray  # (P,) index of each photo's product
    digests: list[bytes]
    hashes: np.ndarray  # (P, 8) uint8
    colours: np.ndarray  # (P, GRID * GRID * 3) uint8
    pictures: dict[int, str] = field(default_factory=dict)  # product -> its first photo in small, for those asked for


def fingerprints(catalogue: Catalogue, pictured: Container[int] = (), progress: bool = True) -> PhotoPrints:
    """Fingerprints every photo, reading each once; also makes small pictures of the products in ``pictured``.

    Raises:
        InputError: an unreadable photo; imagehash is not installed.
    """
    products, prints, pictures = [], [], {}
    for index, (found, picture) in enumerate(
        with_progress(_read(catalogue, pictured), "reading photos", len(catalogue), progress)
    ):
        products += [index] * len(found)
        prints += found
        if picture:
            pictures[index] = picture
    hashes = np.frombuffer(b"".join(one.perceptual for one in prints), np.uint8).reshape(-1, 8)
    colours = np.frombuffer(b"".join(one.colours for one in prints), np.uint8).reshape(-1, GRID * GRID * 3)
    return PhotoPrints(np.array(products), [one.digest for one in prints], hashes, colours, pictures)


def _read(catalogue: Catalogue, pictured: Container[int]) -> Iterator[tuple[list[Fingerprint], str]]:
    """Yields the fingerprints and the small picture of each product, in order."""
    with extra("check", "e2 data check"):
        from imagehash import phash
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(catalogue), BLOCK):
            block = range(start, min(start + BLOCK, len(catalogue)))
            yield from pool.map(lambda index: _of_product(catalogue[index], phash, index in pictured), block)


def _of_product(product: Product, phash: Callable, pictured: bool) -> tuple[list[Fingerprint], str]:
    found, picture = [], ""
    for source in product.images:
        contents = source.read_bytes() if isinstance(source, Path) else source
        try:
            photo = load_image(contents, enough=HASHED)
        except InputError as error:
            raise InputError(f"product {product.product_id}: {error}") from error
        colours = photo.convert("RGB").resize((GRID, GRID), Resampling.BOX).tobytes()
        found.append(Fingerprint(hashlib.sha256(contents).digest()[:8], np.packbits(phash(photo).hash).tobytes(), colours))
        if pictured and not picture:
            picture = data_uri(photo, DOT)
    return found, picture
