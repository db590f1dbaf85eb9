"""Pic2Word (Saito et al., CVPR 2023): a mapping fitted on photos only.

The photo's embedding becomes a word, and "a photo of <word>" must be nearest to its photo within the batch.
"""

import numpy as np
import torch
from torch import Tensor

from e2.adapters.composed.fitting import FitConfig, fit_mapping, new_mapping
from e2.adapters.composed.injection import encode_text_with_tokens, prompts_with_word
from e2.adapters.composed.losses import pic2word_loss
from e2.adapters.composed.mappings import Im2Text
from e2.adapters.composed.pseudo_word import PseudoWordComposer, mapping_input
from e2.adapters.encoder import Encoder


class Pic2Word(PseudoWordComposer):
    """Queries "a photo of <word> , <wish>" with Pic2Word's mapping."""

    name = "pic2word"
    default_preset = "pic2word"


def fit_pic2word(encoder: Encoder, image_features: np.ndarray, config: FitConfig, *, progress: bool = True):
    """Fits the mapping on photos.

    Args:
        encoder: any with an open_clip text tower.
        image_features: (N, D), of unit length for ``config.input`` unit, else raw.

    Returns:
        The mapping (Im2Text) and the training's record.
    """
    clip, features = encoder.text_tower, torch.from_numpy(image_features)
    mapping = new_mapping(Im2Text, features, encoder, config)
    prompt = prompts_with_word(encoder.tokenizer, [("a photo of ", "")]).to(encoder.device)
    scale = clip.logit_scale.detach().exp()

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch = features[rows].to(encoder.device)
        words = mapping(mapping_input(batch, config.input))
        texts = encode_text_with_tokens(
            clip, prompt.tokens.expand(len(rows), -1), prompt.positions.expand(len(rows), -1), words
        )
        return pic2word_loss(batch, texts, scale)

    return mapping, fit_mapping(mapping, loss, len(features), config, encoder, progress=progress)
