"""Times textual inversion of 64 images in one batch against one by one, at ViT-B/32's text tower, for `e2 speed oti`.

The reference follows SEARLE's loop with a batch of one: all 77 positions, the phrase without the word encoded at each step.
All steps cost the same, so a few suffice. Both use the same random numbers, so their vectors are compared, too.
"""

import numpy as np
import open_clip
import torch
from torch import Tensor
from torch.nn import functional as F

from e2.adapters.composed.injection import NOWHERE, Prompts, prompts_with_word, token_width
from e2.adapters.composed.oti import OtiConfig, Sentences, invert
from e2.adapters.composed.phrases import PhraseBook, phrase_book
from e2.adapters.encoder import Encoder
from e2.benchmarks.speed.harness import compare

IMAGES = 64
NOUNS = ("dress", "shirt", "shoe", "bag", "coat", "watch")
PHRASES = {
    noun: [f"a photo of a {noun} that is {look}" for look in ("red and long", "made of leather", "for men")] for noun in NOUNS
}


def run(*, images: int = IMAGES, steps: int = 1, repeats: int = 3, backbone: str = "ViT-B-32", device: str = "cpu") -> dict:
    """Returns `compare`'s ratio (ours / reference) for ``images`` images, and the largest difference of the vectors."""
    encoder = random_encoder(backbone, device)
    book, clip = phrase_book(encoder, PHRASES), encoder.model
    clip.requires_grad_(False)
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(images, book.features.shape[1])).astype(np.float32)).to(device)
    initial = torch.from_numpy(rng.normal(0, 0.02, (images, token_width(clip))).astype(np.float32)).to(device)
    templates = prompts_with_word(encoder.tokenizer, [("a photo of a ", "")]).to(encoder.device)
    rows = torch.from_numpy(rng.integers(0, len(book.prompts), (steps, images))).to(device)
    config = OtiConfig(steps=steps)
    ours = {"words": initial}

    def batched() -> None:
        same = templates[torch.zeros(images, dtype=torch.long, device=device)]
        ours["words"] = invert(
            clip, features, initial, lambda s: Sentences(same, book.prompts[rows[s]], book.features[rows[s]]), config
        )[0]

    plain = {"words": initial}

    def one_by_one() -> None:
        found = [_single(clip, features[i], initial[i], templates, book, rows[:, i], config) for i in range(images)]
        plain["words"] = torch.stack(found)

    measured = compare(batched, one_by_one, repeats)
    difference = float((ours["words"] - plain["words"]).abs().max())
    if difference > 1e-3:
        raise RuntimeError(f"batched inversion differs from single inversion by {difference}")
    return {**measured, "largest_difference": difference}


def random_encoder(backbone: str, device: str) -> Encoder:
    """Builds an encoder with random weights, which take the same time as trained ones."""
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(backbone)
    info = {"path": backbone, "weights_sha256": "random"}
    return Encoder(model, preprocess, open_clip.get_tokenizer(backbone), info, device=device)


def _single(
    clip, feature: Tensor, initial: Tensor, templates: Prompts, book: PhraseBook, rows: Tensor, config: OtiConfig
) -> Tensor:
    """Inverts one image, plainly."""
    word = initial.clone().requires_grad_()
    mean = initial.clone()
    optimizer = torch.optim.AdamW([word], lr=config.lr, weight_decay=config.weight_decay)
    plain = {int(row): _plain_tokens(book, int(row)) for row in rows}
    for row in rows:
        template = _encode(clip, templates.tokens, templates.positions, word)
        phrase = _encode(clip, book.prompts.tokens[row][None], book.prompts.positions[row][None], word)
        with torch.no_grad():
            without = clip.encode_text(plain[int(row)].to(word.device))
        cosine = 1 - F.cosine_similarity(template, feature[None])
        kept = 1 - F.cosine_similarity(without, phrase)
        loss = ((cosine + 0.5 * kept) / 1.5).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = config.ema * mean + (1 - config.ema) * word.detach()
    return mean


def _plain_tokens(book: PhraseBook, row: int) -> Tensor:
    concept = book.concepts[int(np.searchsorted(book.starts, row, side="right")) - 1]
    return open_clip.get_tokenizer("ViT-B-32")([PHRASES[concept][row - book.starts[book.concepts.index(concept)]]])


def _encode(clip, tokens: Tensor, positions: Tensor, word: Tensor) -> Tensor:
    """Encodes with the word inserted, at all positions, through the whole tower."""
    x = clip.token_embedding(tokens).clone()
    x[0, positions[0][positions[0] != NOWHERE]] = word
    x = clip.transformer(x + clip.positional_embedding, attn_mask=clip.attn_mask)
    x = clip.ln_final(x)
    return x[torch.arange(1), tokens.argmax(dim=-1)] @ clip.text_projection
