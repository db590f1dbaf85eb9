"""Embeds texts and photos once, in cached files that later fits reuse; few texts, in memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from e2.adapters.captioning.corpus import TextBlock
from e2.adapters.encoder import Encoder
from e2.data.cache import cache_folder, key
from e2.data.fingerprint import fingerprint, photo_digest
from e2.data.images import load_image
from e2.data.product import Catalogue, Product
from e2.errors import InputError
from e2.files import atomic_path
from e2.progress import with_progress

LARGE = 10_000  # number of texts from which caching is worth a file
CHUNK = 65_536  # texts encoded between writes
PHOTOS = 128  # photos decoded and encoded between writes


def embed_texts(encoder: Encoder, texts: Sequence[str], *, progress: bool = True) -> np.ndarray:
    """Embeds texts: (N, D) float32, L2-normalised; for many texts, a read-only map of a file in `cache_folder`.

    Args:
        texts: distinct texts.
    """
    if len(texts) < LARGE:
        return encoder.encode_texts(list(texts), progress=progress)
    digests = (texts if isinstance(texts, TextBlock) else TextBlock(texts)).digests()
    name = key("text-embeddings", encoder.info["weights_sha256"], encoder.precision, len(digests), digests.tobytes().hex())
    path = cache_folder() / "text-embeddings" / f"{name}.npy"
    if not path.is_file():
        _write(encoder, texts, path, progress)
    return np.load(path, mmap_mode="r")


def embed_photos(encoder: Encoder, catalogue: Catalogue, width: int, *, progress: bool = True) -> np.ndarray:
    """Embeds the first photo of each product: (P, D) float32, L2-normalised, a row of NaN for one that cannot be read.

    Args:
        width: D of the encoder.

    Parts are kept in `cache_folder` as they are done, so a stopped run goes on where it was.
    """
    products = fingerprint(catalogue), photo_digest(catalogue)
    name = key("photo-embeddings", encoder.info["weights_sha256"], encoder.precision, *products)
    folder = cache_folder() / "photo-embeddings" / name
    starts = range(0, len(catalogue), PHOTOS)
    for start in with_progress(starts, "Photos", len(starts), progress):
        path = folder / f"{start:09d}.npy"
        if not path.is_file():
            vectors = _photo_vectors(encoder, catalogue, range(start, min(start + PHOTOS, len(catalogue))), width)
            with atomic_path(path, cache=True) as temporary, open(temporary, "wb") as file:
                np.save(file, vectors)
    return np.concatenate([np.load(folder / f"{start:09d}.npy") for start in starts])


def readable_photos(catalogue: Catalogue, rows: Iterable[int]) -> Iterator[tuple[int, Product, Image.Image]]:
    """Yields row, product and first photo of the products in these rows, but of those whose photo cannot be read."""
    for row in rows:
        product = catalogue[row]
        try:
            photo = load_image(product.images[0])
        except InputError:
            continue
        yield row, product, photo


def _photo_vectors(encoder: Encoder, catalogue: Catalogue, rows: range, width: int) -> np.ndarray:
    photos = {row: photo for row, _, photo in readable_photos(catalogue, rows)}
    vectors = np.full((len(rows), width), np.nan, np.float32)
    if photos:
        vectors[[row - rows.start for row in photos]] = encoder.encode_images(list(photos.values()), progress=False)
    return vectors


def _write(encoder: Encoder, texts: Sequence[str], path: Path, progress: bool) -> None:
    with atomic_path(path, cache=True) as temporary:
        table: np.memmap | None = None
        for start in range(0, len(texts), CHUNK):
            vectors = encoder.encode_texts([texts[row] for row in range(start, min(start + CHUNK, len(texts)))], progress)
            if table is None:
                shape = (len(texts), vectors.shape[1])
                table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            table[start : start + len(vectors)] = vectors
        if table is not None:
            table.flush()
