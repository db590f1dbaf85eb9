"""Optimisation-based textual inversion: finds the word vector whose text embeddings match a photo (SEARLE, 3.1).

Images are inverted in batches. Each has its own vector, loss and random numbers, so that batching does not change results.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from e2.adapters.composed.injection import Prompts, encode_text_with_tokens, prompts_with_word, token_width
from e2.adapters.composed.losses import oti_losses
from e2.adapters.composed.phrases import TEMPLATES, PhraseBook
from e2.adapters.encoder import Encoder
from e2.finite import require_finite
from e2.progress import with_progress
from e2.settings import Count, Seed, Share, Weight, setting, settings


@settings
class OtiConfig:
    """The paper's settings."""

    steps: Count = setting(350, "of AdamW per image")
    lr: Weight = setting(2e-2, "AdamW's")
    weight_decay: Weight = setting(0.01, "AdamW's")
    ema: Share = setting(0.99, "decay of the running mean of the vector, which is the result")
    init_std: Weight = setting(0.02, "of the initial vector")
    concepts: Count = setting(15, "number of nearest concepts from which an image's phrases are drawn")
    batch_size: Count = setting(64, "images at a time")
    seed: Seed = setting(0, "of the random numbers; image i uses (seed, i)")


@dataclass(frozen=True)
class Sentences:
    """Sentences of one step, a row per image: a template and a phrase with the word, and the plain phrase's features."""

    template: Prompts
    phrase: Prompts
    phrase_features: Tensor


def invert(
    clip: nn.Module, features: Tensor, initial: Tensor, sentences: Callable[[int], Sentences], config: OtiConfig
) -> tuple[Tensor, Tensor]:
    """Inverts one batch of images.

    Args:
        clip: the tower, frozen.
        features: (B, D) of the images.
        initial: (B, W) initial vectors.
        sentences: step -> its sentences.

    Returns:
        (B, W) the running mean of the vectors, and (steps, B) the losses before each step.

    Raises:
        NotFinite: a loss or gradient was not finite.
    """
    words = nn.Parameter(initial.clone())
    mean = initial.clone()
    # The sum, not the mean, of the losses: images do not depend on the batch size.
    optimizer = torch.optim.AdamW([words], lr=config.lr, weight_decay=config.weight_decay)
    history = []
    for step in range(config.steps):
        now = sentences(step)
        template = encode_text_with_tokens(clip, now.template.tokens, now.template.positions, words)
        phrase = encode_text_with_tokens(clip, now.phrase.tokens, now.phrase.positions, words)
        losses = oti_losses(template, features, now.phrase_features, phrase)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimizer.step()
        mean.lerp_(words.detach(), 1 - config.ema)
        history.append(losses.detach())
    require_finite(mean, "words of photos")  # one bad step spoils all later ones
    return mean, torch.stack(history)


def invert_images(
    encoder: Encoder, features: np.ndarray, book: PhraseBook, config: OtiConfig | None = None, *, first: int = 0
) -> Tensor:
    """Inverts image features (N, D) to word vectors (N, W) on the CPU, batch by batch.

    Args:
        encoder: whose text tower is inverted.
        features: (N, D) of any length.
        book: concepts and phrases.
        first: number of the first image, which its random numbers depend on.
    """
    config = config or OtiConfig()
    templates = prompts_with_word(encoder.tokenizer, TEMPLATES).to(encoder.device)
    clip, found = encoder.text_tower, []
    starts = range(0, len(features), config.batch_size)
    with encoder.frozen():
        for start in with_progress(starts, "Inverting", len(starts), True):
            batch = torch.from_numpy(features[start : start + config.batch_size]).float().to(encoder.device)
            draws = [_Draws(config, first + start + i) for i in range(len(batch))]
            initial = torch.stack([draw.initial(token_width(clip)) for draw in draws]).to(encoder.device)
            plan = _plan(batch, book, draws, config)
            found.append(invert(clip, batch, initial, _sentences(templates, book, plan), config)[0].cpu())
    return torch.cat(found)


class _Draws:
    """Random choices for one image."""

    def __init__(self, config: OtiConfig, number: int):
        self.rng = np.random.default_rng([config.seed, number])
        self.config = config

    def initial(self, width: int) -> Tensor:
        return torch.from_numpy(self.rng.normal(0, self.config.init_std, width).astype(np.float32))


def _plan(features: Tensor, book: PhraseBook, draws: list[_Draws], config: OtiConfig) -> np.ndarray:
    """Plans each image's template and phrase at each step: (steps, 2, B)."""
    nearest = book.nearest(features, config.concepts)
    plan = np.empty((config.steps, 2, len(draws)), dtype=np.int64)
    for i, draw in enumerate(draws):
        numbers = draw.rng.random((config.steps, 3))
        plan[:, 0, i] = (numbers[:, 0] * len(TEMPLATES)).astype(np.int64)
        concepts = nearest[i][(numbers[:, 1] * nearest.shape[1]).astype(np.int64)]
        plan[:, 1, i] = [book.draw(concept, number) for concept, number in zip(concepts, numbers[:, 2], strict=True)]
    return plan


def _sentences(templates: Prompts, book: PhraseBook, plan: np.ndarray) -> Callable[[int], Sentences]:
    rows = torch.from_numpy(plan).to(book.features.device)
    return lambda step: Sentences(templates[rows[step, 0]], book.prompts[rows[step, 1]], book.features[rows[step, 1]])
