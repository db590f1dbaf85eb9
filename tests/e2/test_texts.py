import pytest
import torch
from torch.testing import assert_close

import e2
from e2.texts import TextTable, can_cut, cut_to_longest, encode_text, pad_rows

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


def test_added_rows_change_nothing_for_the_others(model):
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    padded = pad_rows(tokens)
    assert padded.shape == pad_rows(padded).shape == (64, 77)
    assert torch.equal(padded[:4], tokens)
    assert_close(model.encode_text(padded)[:4], model.encode_text(tokens))


def test_towers_that_look_at_padding_are_not_cut(tiny):
    import open_clip

    clip = open_clip.create_model(tiny, force_custom_text=True)
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    assert not can_cut(clip)
    assert torch.equal(cut_to_longest(clip, tokens), tokens)
    assert_close(encode_text(clip, tokens), clip.encode_text(tokens))


def test_a_table_holds_each_text_once():
    table = TextTable()
    places = table.places(["Nike", None, "Puma", "Nike"])
    assert table.texts == ["Nike", "Puma"]
    assert places.tolist() == [0, -1, 1, 0]


@pytest.mark.parametrize("normalize", [True, False])
def test_encode_text_normalises_on_request(model, normalize):
    features = model.encode_text(e2.get_tokenizer("e2-nano")(TEXTS), normalize=normalize)
    assert torch.allclose(features.norm(dim=-1), torch.ones(4), atol=1e-5) == normalize
