"""Times captioners' decoding against the textbook way, with the same random weights and captions.

`greedy` is DeCap's (`e2 speed decap-greedy`), `beam` CapDec's (`e2 speed capdec-beam`), by default at their own sizes. The
textbook way decodes one image at a time and reads the whole prefix again for each token, as the originals do.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Config, GPT2Model

from e2.adapters.captioning.decoding import Decoding, decode
from e2.adapters.captioning.mappers import make_mapper
from e2.adapters.captioning.model import CaptionModel
from e2.benchmarks.speed.harness import compare

NO_STOP = -1  # both write all tokens, so that the amount compared is fixed
DIFFERENT = "the two ways wrote different captions"


def greedy(
    *,
    images: int = 64,
    reference_images: int = 4,
    tokens: int = 30,
    layers: int = 4,
    heads: int = 4,
    width: int = 768,
    vocabulary: int = 49408,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures seconds per caption of both ways.

    Args:
        images: our batch.
        reference_images: number that the textbook way decodes, one by one (seconds each).

    Returns:
        ``ratio``, ``ratio_min``, ``ratio_max`` (ours / textbook, per caption), ``speedup``, seconds per caption of both.

    Raises:
        AssertionError: the two ways wrote different captions.
    """
    model = sharp_model(layers, heads, width, vocabulary, prefix=1, positions=1 + tokens, seed=seed)
    features = F.normalize(torch.randn(images, 512), dim=-1)

    def ours() -> list[list[int]]:
        with torch.inference_mode():
            context, mask = model.context(features, [[]] * images)
        found = decode(model.language_model, context, mask, Decoding(max_tokens=tokens), stop_id=NO_STOP)
        return [hypothesis.ids for (hypothesis,) in found]

    def textbook() -> list[list[int]]:
        with torch.inference_mode():
            mapped = model.mapper(features[:reference_images]).split(1)
        return [beam_textbook(model.language_model, context, 1, tokens)[0] for context in mapped]

    assert ours()[:reference_images] == textbook(), DIFFERENT
    return per_caption(compare(ours, textbook, repeats), images, reference_images)


def beam(
    *,
    images: int = 64,
    reference_images: int = 1,
    beam: int = 5,
    tokens: int = 30,
    prefix: int = 40,
    layers: int = 12,
    heads: int = 12,
    width: int = 768,
    vocabulary: int = 50257,
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures the same for a beam, where the textbook way takes about twenty seconds an image; scores are compared, too."""
    model = sharp_model(layers, heads, width, vocabulary, prefix=prefix, positions=prefix + tokens, seed=seed)
    gpt2 = model.language_model
    with torch.inference_mode():
        context, mask = model.context(F.normalize(torch.randn(images, 512), dim=-1), [[]] * images)

    def ours() -> list[tuple[list[int], float]]:
        found = decode(gpt2, context, mask, Decoding(beam=beam, max_tokens=tokens, length_unit="tokens"), stop_id=NO_STOP)
        return [(hypotheses[0].ids, hypotheses[0].score) for hypotheses in found]

    def textbook() -> list[tuple[list[int], float]]:
        return [beam_textbook(gpt2, context[i : i + 1], beam, tokens) for i in range(reference_images)]

    for (ids, score), (expected, expected_score) in zip(ours(), textbook(), strict=False):
        assert ids == expected and abs(score - expected_score) < 1e-3, DIFFERENT
    return per_caption(compare(ours, textbook, repeats), images, reference_images)


@torch.inference_mode()
def beam_textbook(gpt2: GPT2Model, context: Tensor, beam: int, tokens: int) -> tuple[list[int], float]:
    """Decodes one image (1, P, W); reads the whole prefix of every beam again for each token."""
    embedded, ids, totals = context, torch.zeros(1, 0, dtype=torch.long), torch.zeros(1)
    for step in range(tokens):
        hidden = gpt2(inputs_embeds=embedded, use_cache=False).last_hidden_state
        logits = hidden @ gpt2.wte.weight.T  # of all positions, as GPT2LMHeadModel gives them
        log_p = logits[:, -1].softmax(dim=-1).log()
        ranked, best = ((totals[:, None] + log_p) / (step + 1)).flatten().topk(beam)
        parents, following = best // log_p.shape[1], best % log_p.shape[1]
        totals = ranked * (step + 1)
        ids = torch.cat([ids[parents], following[:, None]], dim=1)
        embedded = torch.cat([embedded[parents], gpt2.wte(following)[:, None]], dim=1)
    return ids[0].tolist(), float(totals[0] / tokens)


def sharp_model(
    layers: int, heads: int, width: int, vocabulary: int, *, prefix: int, positions: int, seed: int
) -> CaptionModel:
    """Builds a model with random weights, scaled so that the best tokens differ between steps and lie far above the second
    best.
    """
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=vocabulary, n_positions=positions, n_embd=width, n_layer=layers, n_head=heads)
    model = CaptionModel(make_mapper("linear", 512, width, prefix), GPT2Model(config)).eval()
    with torch.no_grad():
        for p in model.language_model.parameters():
            p.mul_(3 if p.ndim > 1 else 1)
    return model


def per_caption(found: dict[str, float], images: int, reference_images: int) -> dict[str, Any]:
    """Converts a comparison of unequal numbers of images to times per caption."""
    scale = reference_images / images
    ratios = {name: found[name] * scale for name in ("ratio", "ratio_min", "ratio_max")}
    seconds = {"ours_s": found["ours_s"] / images, "reference_s": found["reference_s"] / reference_images}
    return {**ratios, "speedup": 1 / ratios["ratio"], **seconds}
