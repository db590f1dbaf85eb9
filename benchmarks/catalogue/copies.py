"""Measures how alike an encoder finds a photo and a copy of it, so that no threshold has to be guessed."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from e2.adapters.encoder import Encoder

SAMPLE = 64  # photos that are copied
SHARE = 0.25  # of the copies that may be less alike than the threshold
CROP, SCALE, QUALITY = 0.04, 0.6, 60  # share cut off at each edge, share of the pixels kept each way, of JPEG


def copy_of(photo: Image.Image) -> Image.Image:
    """Copies a photo as another shop would: cut a little at the edges, smaller, and compressed again."""
    dx, dy = round(photo.width * CROP), round(photo.height * CROP)
    cut = photo.convert("RGB").crop((dx, dy, photo.width - dx, photo.height - dy))
    small = cut.resize((max(1, round(cut.width * SCALE)), max(1, round(cut.height * SCALE))))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=QUALITY)
    return Image.open(io.BytesIO(file.getvalue()))


def copy_likeness(encoder: Encoder, photos: Sequence[Image.Image], vectors: np.ndarray) -> float:
    """Cosine that all but a quarter of the copies have with their photo at least.

    Args:
        encoder: of the vectors.
        photos: N photos, few.
        vectors: (N, D) of these.
    """
    copies = encoder.encode_images([copy_of(photo) for photo in photos], progress=False)
    return float(np.quantile((copies * vectors).sum(axis=1), SHARE))
