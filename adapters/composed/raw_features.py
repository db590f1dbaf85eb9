"""Features as the towers give them, before they are normalised: what pseudo-words are made from, and one baseline."""

from collections.abc import Sequence

import numpy as np
import torch

from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource, image_batches
from e2.errors import InputError
from e2.texts import cut_to_longest, encode_text


@torch.inference_mode()
def raw_image_features(encoder: Encoder, images: Sequence[ImageSource]) -> np.ndarray:
    """N photos -> (N, D) float32, not normalised.

    Raises:
        InputError: a photo that cannot be read; the message names it; or an export, which gives unit vectors only.
    """
    _check_raw(encoder)
    batches = image_batches(images, encoder.preprocess, encoder.batch_size, encoder.workers)
    return np.concatenate([encoder.model.encode_image(pixels.to(encoder.device)).float().cpu().numpy() for pixels in batches])


@torch.inference_mode()
def raw_text_features(encoder: Encoder, texts: Sequence[str]) -> np.ndarray:
    """N texts -> (N, D) float32, not normalised; sorted by length on the way, each batch cut to its longest."""
    _check_raw(encoder)
    clip = getattr(encoder.model, "clip", encoder.model)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    features = np.empty((0, 0), dtype=np.float32)
    for start in range(0, len(texts), encoder.batch_size):
        rows = order[start : start + encoder.batch_size]
        tokens = cut_to_longest(clip, encoder.tokenizer([texts[i] for i in rows])).to(encoder.device)
        batch = encode_text(clip, tokens).float().cpu().numpy()
        if not start:
            features = np.empty((len(texts), batch.shape[1]), dtype=np.float32)
        features[rows] = batch
    return features


def _check_raw(encoder: Encoder) -> None:
    if getattr(encoder.model, "unit_length", False):
        raise InputError(f"{encoder.info['path']} gives vectors of unit length; give the checkpoint that it was exported from")
