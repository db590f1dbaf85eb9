"""Queries with a pseudo-word: the photo becomes a word, and the text tower reads "a photo of <word> that <wish>"."""

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.injection import encode_text_with_tokens, prompts_with_word
from e2.adapters.encoder import Encoder
from e2.errors import require_choice

INPUTS = ("unit", "raw")


class WordComposer(Composer):
    """Makes a word of each reference and reads it in the wish's sentence; its preset has a place for the word."""

    default_preset = "searle"

    def __init__(self, encoder: Encoder, *, preset: str | None = None):
        super().__init__(encoder, preset=preset)
        self.preset.prompt("", "")  # refuses a preset without a place

    @abstractmethod
    def pseudo_words(self, references: References) -> Tensor:
        """Makes words (N, W) of references, on the encoder's device."""

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        words = references.once(self, lambda: self.pseudo_words(references))
        parts = [self.preset.around_word(wish) for wish in wishes]
        steps = [{"prompt": self.preset.prompt("<photo>", wish)} for wish in wishes]
        return Composed(encode_prompts(self.encoder, parts, words), steps)


class PseudoWordComposer(WordComposer):
    """Maps the reference's embedding to the vector of a word.

    Args:
        encoder: the one that the mapping was fitted on.
        mapping: (B, D) -> (B, W).
        input: input of the mapping; see :func:`mapping_input`.
        origin: facts about the fit for results.
    """

    trained = True

    def __init__(
        self,
        encoder: Encoder,
        mapping: nn.Module,
        *,
        input: str = "unit",
        preset: str | None = None,
        origin: dict[str, Any] | None = None,
    ):
        super().__init__(encoder, preset=preset)
        self.mapping = mapping.to(encoder.device).eval()
        self.input, self.origin = input, origin or {}

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, "input": self.input, **self.origin}

    @torch.inference_mode()
    def pseudo_words(self, references: References) -> Tensor:
        features = references.raw_features if self.input == "raw" else references.features
        return self.mapping(mapping_input(torch.from_numpy(features).to(self.encoder.device), self.input))


def mapping_input(features: Tensor, kind: str) -> Tensor:
    """Prepares a mapping's input: (B, D) features, ``raw`` as the tower gives them (the papers), or ``unit``: of length
    sqrt(D).

    ``unit`` needs only normalised embeddings, which searches keep, and suits every encoder: elements of variance 1, as the
    papers' noise and initial weights assume.
    """
    require_choice("mapping input", kind, INPUTS)
    return features if kind == "raw" else F.normalize(features, dim=-1) * features.shape[-1] ** 0.5


@torch.inference_mode()
def encode_prompts(encoder: Encoder, parts: list[tuple[str, str]], words: Tensor) -> np.ndarray:
    """Encodes N prompts (before, after the word) with N word vectors (N, W) to (N, D), sorted by length."""
    clip = encoder.text_tower
    vectors = np.empty((0, 0), dtype=np.float32)
    order = sorted(range(len(parts)), key=lambda i: len(parts[i][0]) + len(parts[i][1]))
    for start in range(0, len(parts), encoder.batch_size):
        rows = order[start : start + encoder.batch_size]
        prompts = prompts_with_word(encoder.tokenizer, [parts[i] for i in rows]).to(encoder.device)
        batch = encode_text_with_tokens(clip, prompts.tokens, prompts.positions, words[rows]).float().cpu().numpy()
        if not start:
            vectors = np.empty((len(parts), batch.shape[1]), dtype=np.float32)
        vectors[rows] = batch
    return vectors
