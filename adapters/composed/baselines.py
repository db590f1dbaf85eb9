"""Untrained baselines: image only, text only, their sum, and the arc between them."""

from typing import Any

import numpy as np

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.encoder import Encoder
from e2.errors import InputError

PARALLEL = 1e-6  # sine of an angle below which the arc is a straight line in float32
TEXT_WEIGHT = 0.8  # of slerp, in its paper


class ImageOnly(Composer):
    """Uses the reference photo's embedding, without the wish."""

    name = "image"
    needs_text = False

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        return Composed(references.features)


class TextOnly(Composer):
    """Uses the bare wish's embedding, without the photo."""

    name = "text"

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        return Composed(self.encoder.encode_texts(wishes))


class Sum(Composer):
    """Sums both embeddings as unit vectors (Pic2Word's "mixture")."""

    name = "sum"

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        return Composed(references.features + self.encoder.encode_texts(wishes))


class RawSum(Composer):
    """Sums both embeddings as the towers give them, unnormalised (CLIP4Cir's element-wise sum)."""

    name = "raw-sum"

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        return Composed(references.raw_features + self.encoder.encode_texts(wishes, normalize=False))


class Slerp(Composer):
    """Interpolates on the arc from the image's to the text's embedding (Jang et al., ECCV 2024, arXiv 2405.00571).

    Args:
        text_weight: 0 = the image, 1 = the text.
    """

    name = "slerp"

    def __init__(self, encoder: Encoder, *, text_weight: float = TEXT_WEIGHT, preset: str | None = None):
        super().__init__(encoder, preset=preset)
        if not 0 <= text_weight <= 1:
            raise InputError(f"slerp's text weight must lie in 0..1, not {text_weight}")
        self.text_weight = text_weight

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, "text_weight": self.text_weight}

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        return Composed(slerp(references.features, self.encoder.encode_texts(wishes), self.text_weight))


def slerp(image: np.ndarray, text: np.ndarray, text_weight: float) -> np.ndarray:
    """Interpolates unit vectors spherically, (N, D), (N, D) -> (N, D), in the dtype given.

    Nearly parallel vectors are mixed along the straight line, which differs from the arc by less than rounding.
    """
    image = image / np.linalg.norm(image, axis=-1, keepdims=True)
    text = text / np.linalg.norm(text, axis=-1, keepdims=True)
    apart, along = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (image - text, image + text))
    angle = 2 * np.arctan2(apart, along)  # the arc cosine of a product near 1 would lose half its digits
    sine = np.sin(angle)
    flat = sine < PARALLEL
    opposite = flat & (along < apart)
    if opposite.any():
        query = int(np.flatnonzero(opposite.ravel())[0])
        raise InputError(f"query {query}: photo and wish point in exactly opposite directions; slerp has no arc for them")
    safe = np.where(flat, 1, sine)
    left = np.where(flat, 1 - text_weight, np.sin((1 - text_weight) * angle) / safe)
    right = np.where(flat, text_weight, np.sin(text_weight * angle) / safe)
    mixed = left * image + right * text
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
