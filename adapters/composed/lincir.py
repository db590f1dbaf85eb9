"""LinCIR (Gu et al., CVPR 2024): a mapping fitted on texts only. The default: takes minutes on a CPU, without photos.

A caption's embedding, with noise to bridge the gap to photos, becomes a word; the caption with its keywords replaced by that
word must keep its embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from e2.adapters.composed.fitting import FitConfig, fit_mapping, new_mapping
from e2.adapters.composed.injection import NOWHERE, Prompts, encode_text_with_tokens, locate_words, prompts_with_word
from e2.adapters.composed.keywords import with_word
from e2.adapters.composed.losses import lincir_loss
from e2.adapters.composed.mappings import Phi
from e2.adapters.composed.pseudo_word import PseudoWordComposer, mapping_input
from e2.adapters.encoder import Encoder
from e2.texts import cut_to_longest

PART = 4096  # captions tokenised at a time


class LinCIR(PseudoWordComposer):
    """Queries "a photo of <word> that <wish>" with LinCIR's mapping."""

    name = "lincir"


def fit_lincir(encoder: Encoder, texts: Sequence[str], config: FitConfig, *, progress: bool = True):
    """Fits the mapping on texts.

    Args:
        encoder: any with an open_clip text tower.
        texts: captions; duplicates count once.

    Returns:
        The mapping (Phi), the training's record, and the mean length of the raw features.
    """
    texts = list(dict.fromkeys(text for text in texts if text.strip()))
    features = torch.from_numpy(encoder.encode_texts(texts, normalize=False)) if texts else torch.empty(0, 1)
    prompts = masked_captions(encoder, texts) if texts else Prompts(torch.empty(0), torch.empty(0))
    clip = encoder.text_tower
    mapping = new_mapping(Phi, features, encoder, config)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        batch, chosen = features[rows], prompts[rows].to(encoder.device)
        noisy = with_noise(mapping_input(batch, config.input), generator).to(encoder.device)
        predicted = encode_text_with_tokens(clip, chosen.tokens.long(), chosen.positions, mapping(noisy))
        return lincir_loss(predicted.float(), batch.to(encoder.device))

    training = fit_mapping(mapping, loss, len(texts), config, encoder, progress=progress)
    return mapping, training, float(features.norm(dim=-1).mean())


def with_noise(features: Tensor, generator: torch.Generator) -> Tensor:
    """Adds noise: e + u n with u ~ U(0, 1) per row and n ~ N(0, I): (B, D) -> (B, D)."""
    strength = torch.rand(len(features), 1, generator=generator)
    return features + strength * torch.randn(features.shape, generator=generator)


def masked_captions(encoder: Encoder, texts: Sequence[str]) -> Prompts:
    """Replaces keywords of captions by the word; a caption that loses all at the context's end becomes "a photo of <word>".

    Tokenised in parts and kept in 32 bits at the longest text's length, so that millions of captions fit in memory.
    """
    parts = [_masked(encoder, texts[start : start + PART]) for start in range(0, len(texts), PART)]
    length, words = (max(getattr(part, name).shape[1] for part in parts) for name in ("tokens", "positions"))
    tokens = torch.cat([F.pad(part.tokens, (0, length - part.tokens.shape[1])) for part in parts])
    positions = torch.cat([F.pad(part.positions, (0, words - part.positions.shape[1]), value=NOWHERE) for part in parts])
    return Prompts(tokens, positions)


def _masked(encoder: Encoder, texts: Sequence[str]) -> Prompts:
    prompts = locate_words(encoder.tokenizer, lambda word, i: with_word(texts[i], word), len(texts), keep_cut=True)
    lost = (prompts.positions == NOWHERE).all(dim=1)
    if lost.any():
        simple = prompts_with_word(encoder.tokenizer, [("a photo of ", "")])
        prompts.tokens[lost], prompts.positions[lost, 0] = simple.tokens[0], simple.positions[0, 0]
    return Prompts(cut_to_longest(encoder.text_tower, prompts.tokens).int(), prompts.positions)
