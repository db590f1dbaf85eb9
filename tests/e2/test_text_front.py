"""A text tower goes on from what its frozen part made of each text as if it had run as a whole."""

import open_clip
import pytest
import torch
from transformers import BertConfig, XLMRobertaConfig

from e2.frozen_texts import FrozenTexts
from e2.locking import lock_text_tower
from e2.model import rest_frozen
from e2.packing import encode_packed, lay_out
from e2.text_front import FirstBlocks, WholeTower, text_front
from e2.texts import cut_behind, text_ends, text_keys
from tests.conftest import SIGLIP, TINY

LAYERS, LENGTH = 3, 20
TEXT = {"context_length": LENGTH, "vocab_size": 90, "width": 16, "heads": 2, "layers": LAYERS}
NATIVE = {
    "clip": TEXT,
    "eos": {**TEXT, "pool_type": "eos", "eos_id": 89},
    "siglip": {**SIGLIP["text_cfg"], **TEXT},
    "coca": {**TEXT, "embed_cls": True, "output_tokens": False},
}
SMALL = {"hidden_size": 16, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 90}
TRANSFORMERS = {
    "bert": lambda: BertConfig(**SMALL, pad_token_id=0),
    "xlm-roberta": lambda: XLMRobertaConfig(**SMALL, pad_token_id=1),
}
KINDS = [*NATIVE, *TRANSFORMERS]


def tower(kind: str, folder, learning: int) -> open_clip.CustomTextCLIP:
    """A CLIP with a small text tower, in training mode, all but its last groups frozen."""
    torch.manual_seed(0)
    if kind in NATIVE:
        text = NATIVE[kind]
    else:
        TRANSFORMERS[kind]().save_pretrained(folder / kind)
        text = {"hf_model_name": str(folder / kind), "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"}
        text |= {"hf_model_pretrained": False, "context_length": LENGTH, "hf_tokenizer_name": str(folder / kind)}
    kinds = {"clip": open_clip.CLIP}
    clip = kinds.get(kind, open_clip.CustomTextCLIP)(embed_dim=16, vision_cfg=TINY["vision_cfg"], text_cfg=text)
    lock_text_tower(clip, learning)
    rest_frozen(clip)
    for module in clip.modules():  # dropout draws at random in the layers that learn
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return clip


def texts(kind: str, count: int = 9) -> torch.Tensor:
    """Token ids of texts of many lengths, marked and padded as the tower expects."""
    tokens = torch.randint(5, 80, (count, LENGTH), generator=torch.Generator().manual_seed(1))
    for row in range(count):
        end = 3 + 7 * row % (LENGTH - 2)
        tokens[row, end - 1] = 89
        tokens[row, end:] = 1 if kind == "xlm-roberta" else 0
    return tokens


def gradients(clip, features: torch.Tensor) -> dict[str, torch.Tensor]:
    clip.zero_grad()
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return {name: p.grad.clone() for name, p in clip.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("learning", range(1, LAYERS))
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_gradients_are_those_of_the_whole_tower(tmp_path, kind, learning):
    clip, tokens = tower(kind, tmp_path, learning), texts(kind)
    front = text_front(clip)
    behind = learning if kind in TRANSFORMERS else max(learning - 1, 1)  # open_clip counts the projection of its own towers
    assert isinstance(front, FirstBlocks) and front.blocks == LAYERS - behind
    kept = FrozenTexts(front)
    kept.add(text_keys(tokens[1:]).tolist(), kept.encode(tokens[1:]))  # the first text is met on the way
    expected = clip.encode_text(tokens)
    wanted = gradients(clip, expected)
    assert wanted
    ends = text_ends(clip)
    cut = cut_behind(ends, tokens)
    for found in (kept(tokens), kept(cut, None if ends is None else lay_out(ends, cut)), kept(cut[[0]])):
        torch.testing.assert_close(found, expected[: len(found)], atol=2e-3, rtol=1e-2)  # kept in half precision
    found = gradients(clip, kept(cut))
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=5e-3, rtol=2e-2, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(clip.encode_text(tokens), expected)  # the tower is whole again


@pytest.mark.parametrize("kind", KINDS)
def test_the_front_is_exact_but_for_half_precision(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("e2.text_front.half_precision", lambda kept: kept)
    clip, tokens = tower(kind, tmp_path, 2), texts(kind)
    front = text_front(clip)
    torch.testing.assert_close(FrozenTexts(front)(tokens), encode_packed(clip, tokens), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_front_ends_where_learning_begins(tmp_path, kind):
    assert isinstance(text_front(tower(kind, tmp_path, 0)), WholeTower)
    assert text_front(tower(kind, tmp_path, LAYERS + 3)) is None
    clip = tower(kind, tmp_path, 1)
    table = clip.text.transformer.embeddings.word_embeddings.weight if kind in TRANSFORMERS else None
    table = getattr(clip, "text", clip).token_embedding.weight if table is None else table
    table.requires_grad_(True)
    assert text_front(clip) is None


def test_a_tower_that_failed_is_whole_again(tmp_path):
    clip, tokens = tower("bert", tmp_path, 1), texts("bert")
    expected = clip.encode_text(tokens)
    front = text_front(clip)
    with pytest.raises(IndexError):
        front.run(tokens + 90)  # beyond the vocabulary
    torch.testing.assert_close(clip.encode_text(tokens), expected)


def test_states_beyond_half_precision_are_refused(tmp_path):
    clip = tower("clip", tmp_path, 2)
    with torch.no_grad():
        clip.token_embedding.weight.fill_(1e6)
    with pytest.raises(Exception, match="beyond half precision"):
        text_front(clip).run(texts("clip"))
