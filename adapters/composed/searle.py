"""SEARLE (Baldrati et al., ICCV 2023): words by inversion of each photo, and a network trained to predict them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.adapters.composed.base import References
from e2.adapters.composed.fitting import FitConfig, fit_mapping, new_mapping
from e2.adapters.composed.injection import encode_text_with_tokens
from e2.adapters.composed.losses import searle_loss
from e2.adapters.composed.mappings import Phi
from e2.adapters.composed.oti import OtiConfig, invert_images
from e2.adapters.composed.phrases import PhraseBook, Phrases, phrase_book
from e2.adapters.composed.pseudo_word import PseudoWordComposer, WordComposer, mapping_input
from e2.adapters.encoder import Encoder

PHI_CONCEPTS = 150  # the network's phrases come from more concepts than the inversion's


class Searle(PseudoWordComposer):
    """Queries "a photo of <word> that <wish>" with SEARLE's network."""

    name = "searle"


class SearleOti(WordComposer):
    """Inverts a word from each reference at query time: hundreds of steps per photo, nothing fitted.

    Args:
        encoder: any with an open_clip text tower.
        phrases: concept -> phrases; see :mod:`e2.adapters.composed.phrases`.
        oti: settings of the inversion.
    """

    name = "searle-oti"

    def __init__(self, encoder: Encoder, phrases: Phrases, *, oti: OtiConfig | None = None, preset: str | None = None):
        super().__init__(encoder, preset=preset)
        self.oti = oti or OtiConfig()
        self.book = phrase_book(encoder, phrases)

    @property
    def info(self) -> dict[str, Any]:
        facts = {"steps": self.oti.steps, "concepts": len(self.book.concepts), "phrases": len(self.book.prompts)}
        return {**super().info, **facts}

    def pseudo_words(self, references: References) -> Tensor:
        return invert_images(self.encoder, references.features, self.book, self.oti).to(self.encoder.device)


def fit_searle(
    encoder: Encoder,
    image_features: np.ndarray,
    phrases: Phrases,
    config: FitConfig,
    oti: OtiConfig | None = None,
    *,
    progress: bool = True,
):
    """Inverts photos, then fits the network to their words.

    Args:
        encoder: any with an open_clip text tower.
        image_features: (N, D), of unit length for ``config.input`` unit, else raw.
        phrases: concept -> phrases.
        config: of the network's training.

    Returns:
        The mapping (Phi) and the training's record.
    """
    clip, book, features = encoder.text_tower, phrase_book(encoder, phrases), torch.from_numpy(image_features)
    words = invert_images(encoder, image_features, book, oti or OtiConfig())
    nearest = torch.from_numpy(book.nearest(features.to(encoder.device), PHI_CONCEPTS))
    mapping = new_mapping(Phi, features, encoder, config)

    def loss(rows: Tensor, generator: torch.Generator) -> Tensor:
        student = mapping(mapping_input(features[rows], config.input).to(encoder.device))
        phrase = _drawn(book, nearest[rows], generator).to(encoder.device)
        prompts = book.prompts[phrase]
        with_word = encode_text_with_tokens(clip, prompts.tokens, prompts.positions, student)
        return searle_loss(words[rows].to(encoder.device), student, book.features[phrase], with_word)

    return mapping, fit_mapping(mapping, loss, len(features), config, encoder, progress=progress)


def _drawn(book: PhraseBook, nearest: Tensor, generator: torch.Generator) -> Tensor:
    """Selects one phrase of one of the nearest concepts for each row: (B, C) -> (B,)."""
    numbers = torch.rand(len(nearest), 2, generator=generator)
    concepts = nearest.gather(1, (numbers[:, :1] * nearest.shape[1]).long()).squeeze(1)
    return torch.tensor(
        [book.draw(int(concept), float(number)) for concept, number in zip(concepts, numbers[:, 1], strict=True)]
    )
