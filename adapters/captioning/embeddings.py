"""Embeds texts once: in memory for a few, in a cached file for many, which later fits reuse."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from e2.adapters.captioning.corpus import TextBlock
from e2.adapters.encoder import Encoder
from e2.data.cache import cache_folder, key
from e2.files import atomic_path

LARGE = 10_000  # number of texts from which caching is worth a file
CHUNK = 65_536  # texts encoded between writes


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
