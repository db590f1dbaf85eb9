"""Times DeCap's greedy decoding against the textbook way, with the same weights and captions, for `e2 speed decap-greedy`."""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2Model

from e2.adapters.captioning.decoding import Decoding, decode
from e2.adapters.captioning.mappers import make_mapper
from e2.adapters.captioning.model import CaptionModel
from e2.benchmarks.speed.harness import compare

NO_STOP = -1  # both write all tokens, so that the amount compared is fixed


def run(
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
    """Measures seconds per caption of both; DeCap's own sizes by default.

    Args:
        images: our batch.
        reference_images: number that the textbook way decodes, one by one (seconds each).

    Returns:
        ``ratio``, ``ratio_min``, ``ratio_max`` (ours / textbook, per caption), ``speedup``, seconds per caption of both.

    Raises:
        AssertionError: the two ways wrote different captions.
    """
    model = sharp_model(layers, heads, width, vocabulary, prefix=1, positions=1 + tokens, seed=seed)
    features = torch.nn.functional.normalize(torch.randn(images, 512), dim=-1)

    def ours() -> list[list[int]]:
        with torch.inference_mode():
            context, mask = model.context(features, [[]] * images)
        found = decode(model.language_model, context, mask, Decoding(max_tokens=tokens), stop_id=NO_STOP)
        return [hypothesis.ids for (hypothesis,) in found]

    def textbook() -> list[list[int]]:
        return [greedy_textbook(model, features[i : i + 1], tokens) for i in range(reference_images)]

    assert ours()[:reference_images] == textbook(), "the two ways wrote different captions"
    return per_caption(compare(ours, textbook, repeats), images, reference_images)


@torch.inference_mode()
def greedy_textbook(model: CaptionModel, feature: Tensor, tokens: int) -> list[int]:
    """Decodes one image; reads the whole prefix again for each token, as the original does."""
    embedded, ids = model.mapper(feature), []
    for _ in range(tokens):
        hidden = model.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
        logits = hidden @ model.language_model.wte.weight.T  # of all positions, as GPT2LMHeadModel gives them
        token = logits[:, -1].softmax(dim=-1).argmax(dim=-1)
        ids.append(int(token))
        embedded = torch.cat([embedded, model.language_model.wte(token)[:, None]], dim=1)
    return ids


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
    sizes = {"images": images, "reference_images": reference_images, "threads": torch.get_num_threads()}
    return {**ratios, "speedup": 1 / ratios["ratio"], **seconds, **sizes}
