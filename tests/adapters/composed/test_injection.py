"""Pseudo-words in text towers, against recorded outputs of SEARLE, LinCIR and Pic2Word, and against a naive forward pass."""

import numpy as np
import pytest
import torch

from e2.adapters.composed.injection import NOWHERE, encode_text_with_tokens, locate_words, prompts_with_word, token_table
from e2.adapters.unit_vectors import normalised
from e2.backbones import create_tokenizer
from e2.errors import InputError
from e2.texts import cut_to_longest
from tests.adapters.composed.towers import fixture_tower, places, siglip_like_tower
from tests.shared import FIXTURES, shared_path

TWO_ORDERS = "fixtures/composed/a_fashioniq_two_orders.npz"
SEARLE = FIXTURES / "composed" / "c_pseudo_searle_v320.npz"
TOLERANCE = {"atol": 2e-5, "rtol": 0}


@pytest.fixture(scope="module")
def searle():
    arrays = {name: torch.from_numpy(array) for name, array in np.load(SEARLE).items() if not name.startswith("sd.")}
    return fixture_tower(SEARLE), arrays


def test_searle_fixture_one_word_per_text(searle):
    clip, z = searle
    found = encode_text_with_tokens(clip, z["tokens"], places(z["tokens"], 259), z["pseudo"])
    torch.testing.assert_close(found, z["emb_searle"], **TOLERANCE)
    torch.testing.assert_close(clip.encode_text(z["tokens"]), z["emb_plain_text"], **TOLERANCE)


def test_searle_fixture_gradient_reaches_the_word(searle):
    clip, z = searle
    words = z["pseudo"].clone().requires_grad_()
    found = encode_text_with_tokens(clip, z["tokens"], places(z["tokens"], 259), words)
    (found * z["grad_weight"]).sum().backward()
    torch.testing.assert_close(words.grad, z["grad_pseudo"], atol=1e-4, rtol=0)


def test_searle_fixture_one_word_for_all_texts_and_two_words_in_a_text(searle):
    clip, z = searle
    broadcast = encode_text_with_tokens(clip, z["tokens"], places(z["tokens"], 259), z["pseudo"][:1])
    torch.testing.assert_close(broadcast, z["emb_searle_broadcast"], **TOLERANCE)
    first = places(z["tokens2"], 259)
    two = encode_text_with_tokens(clip, z["tokens2"], torch.stack([first, first + 1], dim=1), z["pseudo2"])
    torch.testing.assert_close(two, z["emb_searle_2tok"], **TOLERANCE)


def test_searle_and_lincir_fixture_differ_where_a_text_has_two_places(searle):
    clip, z = searle
    tokens, words = z["tokens_dup"], z["pseudo"][:2]
    first = places(tokens, 259)
    torch.testing.assert_close(encode_text_with_tokens(clip, tokens, first, words), z["emb_dup_searle"], **TOLERANCE)
    rows = [(row == 259).nonzero().squeeze(1).tolist() for row in tokens]
    every = torch.tensor([(found + [NOWHERE])[:2] for found in rows])
    torch.testing.assert_close(encode_text_with_tokens(clip, tokens, every, words), z["emb_dup_lincir"], **TOLERANCE)


def test_pic2word_fixture():
    path = shared_path("fixtures/composed/c_pseudo_pic2word_v200.npz")
    clip = fixture_tower(path)
    z = {name: torch.from_numpy(array) for name, array in np.load(path).items() if not name.startswith("sd.")}
    words = z["pseudo"].clone().requires_grad_()
    found = encode_text_with_tokens(clip, z["tokens"], places(z["tokens"], 65), words)
    torch.testing.assert_close(found, z["emb_retrieval"], **TOLERANCE)
    (found * z["grad_weight"]).sum().backward()
    torch.testing.assert_close(words.grad, z["grad_pseudo"], atol=1e-4, rtol=0)
    repeated = z["tokens"][:1].expand(4, -1)
    found = encode_text_with_tokens(clip, repeated, places(repeated, 65), z["pseudo"])
    torch.testing.assert_close(found, z["emb_retrieval_repeat"], **TOLERANCE)
    found = encode_text_with_tokens(clip, z["vis_tokens"], places(z["vis_tokens"], 65), z["pseudo"][:1])
    torch.testing.assert_close(found, z["emb_vis"], **TOLERANCE)
    tokens, end = inserted(z["train_tokens"], int(z["eot"]))
    torch.testing.assert_close(encode_text_with_tokens(clip, tokens, end, z["pseudo"]), z["emb_train_insert"], **TOLERANCE)


def inserted(tokens: torch.Tensor, end_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pic2Word's training inserts before the end-of-text token: room for one token there, the last place dropped."""
    end = places(tokens, end_id)
    rows = [torch.cat([row[:at], row.new_tensor([1]), row[at:-1]]) for row, at in zip(tokens, end, strict=True)]
    return torch.stack(rows), end


@pytest.mark.parametrize("tower", ["native", "custom"])
def test_the_original_embedding_changes_nothing_and_another_equals_a_changed_table(tower, searle):
    clip = searle[0] if tower == "native" else siglip_like_tower()
    tokens = torch.randint(2, 90, (3, 16), generator=torch.Generator().manual_seed(0))
    if tower == "native":
        tokens[:, 13], tokens[:, 14:] = 319, 0
    at = torch.tensor([2, 5, 7])
    table = token_table(clip)
    same = encode_text_with_tokens(clip, tokens, at, table(tokens[torch.arange(3), at]))
    torch.testing.assert_close(same, clip.encode_text(tokens), atol=1e-6, rtol=0)
    words = torch.randn(3, table.weight.shape[1], generator=torch.Generator().manual_seed(1))
    found = encode_text_with_tokens(clip, tokens, at, words)
    for row in range(3):  # naively: write the word into the table under an id of its own and encode plainly
        changed, kept = tokens[row : row + 1].clone(), table.weight[99].clone()
        changed[0, at[row]] = 99
        table.weight[99] = words[row]
        torch.testing.assert_close(found[row : row + 1], clip.encode_text(changed), atol=1e-5, rtol=0)
        table.weight[99] = kept
    assert not table._forward_hooks  # nothing is left behind


def test_a_bidirectional_tower_gets_its_gradient_and_is_not_cut():
    clip = siglip_like_tower()
    tokens = torch.tensor([[5, 6, 7] + [1] * 13])
    word = torch.zeros(1, 32, requires_grad=True)
    encode_text_with_tokens(clip, tokens, torch.tensor([1]), word).sum().backward()
    assert word.grad.abs().sum() > 0
    # The pooled position is the last one: a word there counts, which in a causal tower behind the end would be refused.
    changed = encode_text_with_tokens(clip, tokens, torch.tensor([15]), torch.ones(1, 32))
    assert (changed - clip.encode_text(tokens)).abs().max() > 1e-3


def test_cut_texts_give_the_same_embeddings_and_gradients(searle):
    clip, _ = searle
    tokens = torch.zeros(2, 16, dtype=torch.long)
    tokens[0, :4], tokens[1, :6] = torch.tensor([318, 7, 259, 319]), torch.tensor([318, 3, 4, 259, 9, 319])
    assert cut_to_longest(clip, tokens).shape == (2, 8)
    outputs, gradients = [], []
    for encode in (encode_text_with_tokens, full_length):
        words = torch.full((2, 64), 0.3, requires_grad=True)
        found = encode(clip, tokens, places(tokens, 259), words)
        (found * torch.arange(48)).sum().backward()
        outputs.append(found.detach()), gradients.append(words.grad)
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-4, rtol=1e-4)


def full_length(clip, tokens, at, words):
    """The forward pass written out, nothing cut."""
    x = clip.token_embedding(tokens).clone()
    x[torch.arange(len(tokens)), at] = words
    x = clip.transformer(x + clip.positional_embedding, attn_mask=clip.attn_mask)
    return clip.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(dim=1)] @ clip.text_projection


def test_a_place_behind_the_end_is_refused(searle):
    clip, z = searle
    with pytest.raises(InputError, match="text 1 ends before the place"):
        tokens = torch.tensor([[318, 1, 2, 319] + [0] * 12, [318, 1, 319, 0] + [0] * 12])
        encode_text_with_tokens(clip, tokens, torch.tensor([2, 2]), z["pseudo"][:2])


@pytest.fixture(scope="module")
def tokenizer():
    return create_tokenizer("ViT-B-32")


def test_places_are_found_by_position_whatever_signs_the_wish_holds(tokenizer):
    wish = "has a $ and a * and a dog on it"
    prompts = prompts_with_word(tokenizer, [("a photo of ", f" that {wish}"), ("", " , * $")])
    assert prompts.positions.tolist() == [[4], [1]]
    plain = tokenizer([f"a photo of * that {wish}", "* , * $"])
    different = (prompts.tokens != plain).nonzero().tolist()
    assert different == [[0, 4], [1, 1]]  # all but the place itself is the user's text, untouched


def test_a_cut_off_place_is_refused_and_a_long_wish_behind_it_is_not(tokenizer):
    prompts_with_word(tokenizer, [("a photo of ", " that " + "is red and " * 90)])
    with pytest.raises(InputError, match="the pseudo-word of text 1 is cut off: this encoder reads 77 tokens"):
        prompts_with_word(tokenizer, [("", ""), ("is red and " * 90, "")])
    kept = locate_words(tokenizer, lambda word, i: f"{word} {'red ' * 90}{word}", 1, keep_cut=True)
    assert kept.positions.tolist() == [[1]]


def test_several_places_in_a_text_are_padded_with_nowhere(tokenizer):
    texts = ["{} with {}", "{} in a box"]
    prompts = locate_words(tokenizer, lambda word, i: texts[i].format(word, word), 2)
    assert prompts.positions.tolist() == [[1, 3], [1, NOWHERE]]


def test_both_caption_orders_fixture(searle):
    z = {name: torch.from_numpy(a) for name, a in np.load(shared_path(TWO_ORDERS)).items() if a.dtype.kind != "U"}
    words = z["pseudo"][z["ref_idx"].long()]
    orders = [
        encode_text_with_tokens(searle[0], tokens, places(tokens, 259), words).numpy()
        for tokens in (z["tokens_forward"], z["tokens_reversed"])
    ]
    found = normalised(sum(normalised(vectors) for vectors in orders))
    np.testing.assert_allclose(found, z["query"].numpy(), atol=2e-5)
    images = z["clip4cir_index_features"][z["ref_idx"].long()].numpy()
    summed = normalised(images + searle[0].encode_text(z["clip4cir_tokens"]).numpy())
    np.testing.assert_allclose(summed, z["clip4cir_sum_query"].numpy(), atol=2e-5)
