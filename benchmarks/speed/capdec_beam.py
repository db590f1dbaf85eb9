"""Times CapDec's beam search against the textbook way, with the same weights and captions, for `e2 speed capdec-beam`."""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Model

from e2.adapters.captioning.decoding import Decoding, decode
from e2.benchmarks.speed.decap_greedy import NO_STOP, per_caption, sharp_model
from e2.benchmarks.speed.harness import compare


def run(
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
    """Measures seconds per caption of both; CapDec's own sizes (GPT-2 small, prefix 40) by default.

    Args:
        images: our batch.
        reference_images: number that the textbook way decodes, one by one (about twenty seconds each).

    Returns:
        ``ratio``, ``ratio_min``, ``ratio_max`` (ours / textbook, per caption), ``speedup``, seconds per caption of both.

    Raises:
        AssertionError: the two ways wrote different captions or scores.
    """
    model = sharp_model(layers, heads, width, vocabulary, prefix=prefix, positions=prefix + tokens, seed=seed)
    gpt2 = model.language_model
    with torch.inference_mode():
        context, mask = model.context(torch.nn.functional.normalize(torch.randn(images, 512), dim=-1), [[]] * images)

    def ours() -> list[tuple[list[int], float]]:
        found = decode(gpt2, context, mask, Decoding(beam=beam, max_tokens=tokens), stop_id=NO_STOP)
        return [(hypotheses[0].ids, hypotheses[0].score) for hypotheses in found]

    def textbook() -> list[tuple[list[int], float]]:
        return [beam_textbook(gpt2, context[i : i + 1], beam, tokens) for i in range(reference_images)]

    for (ids, score), (expected, expected_score) in zip(ours(), textbook(), strict=False):
        assert ids == expected and abs(score - expected_score) < 1e-3, "the two ways wrote different captions"
    return per_caption(compare(ours, textbook, repeats), images, reference_images)


@torch.inference_mode()
def beam_textbook(gpt2: GPT2Model, context: Tensor, beam: int, tokens: int) -> tuple[list[int], float]:
    """Decodes one image (1, P, W); reads the whole prefix of every beam again for each token, as the original does."""
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
