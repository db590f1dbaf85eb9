import pytest
import torch
from torch.testing import assert_close

import e2
from e2.backbones import create_backbone
from e2.texts import TextTable, can_cut, cut_texts, cut_to_longest, encode_text, truncated
from tests.conftest import TINY

TEXTS = ["a red tee", "Levi's blue jeans with copper rivets and a leather patch", "coat", ""]


def test_cutting_to_the_longest_text_gives_equal_embeddings_and_gradients(model):
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    cut = cut_to_longest(model.clip, tokens)
    assert cut.shape == (4, 16) and tokens.shape == (4, 77)  # 14 places, rounded up
    gradients = []
    for batch in (tokens, cut):
        model.zero_grad()
        features = encode_text(model.clip, batch)
        features.pow(2).sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.clip.named_parameters() if p.grad is not None})
        gradients[-1]["features"] = features.detach()
    assert_close(gradients[1]["features"], model.clip.encode_text(tokens).detach(), atol=1e-5, rtol=1e-5)
    assert gradients[0].keys() == gradients[1].keys()
    for name, value in gradients[0].items():
        assert_close(gradients[1][name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_causal_custom_towers_are_cut_too(tiny, pool):
    config = {**TINY, "custom_text": True, "text_cfg": {**TINY["text_cfg"], "pool_type": pool, "eos_id": 49407}}
    clip, _ = create_backbone("test", config=config)
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    cut = cut_to_longest(clip, tokens)
    assert cut.shape == (4, 16)
    assert_close(encode_text(clip, cut), clip.encode_text(tokens), atol=1e-5, rtol=1e-5)


LOOKING_AT_PADDING = {
    "bidirectional": {"no_causal_mask": True},
    "answers at the last place": {"pool_type": "last"},
    "SigLIP": {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    "CoCa's own class token": {"embed_cls": True},
}


@pytest.mark.parametrize("text", LOOKING_AT_PADDING.values(), ids=list(LOOKING_AT_PADDING))
def test_towers_that_look_at_padding_are_not_cut(text):
    config = {**TINY, "custom_text": True, "text_cfg": {**TINY["text_cfg"], **text}}
    torch.manual_seed(0)
    clip, _ = create_backbone("test", config=config)
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    assert not can_cut(clip)
    assert torch.equal(cut_to_longest(clip, tokens), tokens)
    assert_close(encode_text(clip, tokens), clip.encode_text(tokens))
    other_padding = tokens.clone()
    other_padding[:, 20:] = 5  # behind the longest text: a causal tower would not notice
    assert (clip.encode_text(other_padding) - clip.encode_text(tokens)).abs().max() > 1e-4


def test_truncated_texts_are_counted_for_sentencepiece_too(siglip):
    tokenizer = e2.get_tokenizer(f"local-dir:{siglip}")  # 16 places, one for the end
    count = len(tokenizer.tokenizer("red").input_ids) - 1
    fits = " ".join(["red"] * (15 // count))
    assert truncated(tokenizer, [fits, fits + " red", "coat", ""]) == 1
    assert truncated(e2.get_tokenizer("e2-nano"), ["word " * 75, "word " * 76, "coat"]) == 1
    plain, texts = e2.get_tokenizer("e2-nano"), ["word " * count for count in range(72, 80)] + ["", "! " * 75, "! " * 76]
    shorter, longer = (plain(texts, context_length=plain.context_length + more) for more in (0, 1))
    assert cut_texts(plain, texts) == (shorter != longer[:, :-1]).any(dim=1).tolist()


def test_a_table_holds_each_text_once():
    table = TextTable()
    places = table.places(["Nike", None, "Puma", "Nike"])
    assert table.texts == ["Nike", "Puma"]
    assert places.tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize("normalize", [True, False])
def test_encode_text_normalises_on_request(model, normalize):
    features = model.encode_text(e2.get_tokenizer("e2-nano")(TEXTS), normalize=normalize)
    assert torch.allclose(features.norm(dim=-1), torch.ones(4), atol=1e-5) == normalize
