import pytest
import torch
from torch.testing import assert_close

import e2
from e2.backbones import create_backbone
from e2.packing import ROW_LENGTH, encode_packed, pack
from tests.conftest import TINY

TEXTS = ["a red tee", "Levi's blue jeans with copper rivets and a leather patch", "coat", "", "word " * 90, "coat with belt"]


def places(starts: list[int], lengths: list[int]) -> list[int]:
    return [place for start, length in zip(starts, lengths, strict=True) for place in range(start, start + length)]


@pytest.mark.parametrize("longest", [10, 77, 248])
def test_texts_stand_side_by_side_and_fill_the_rows(longest):
    lengths = torch.randint(2, longest + 1, (300,), generator=torch.Generator().manual_seed(0)).tolist()
    packing = pack(lengths)
    assert packing.length == max(ROW_LENGTH, -(-max(lengths) // 8) * 8)
    taken = places(packing.starts, lengths)
    assert len(set(taken)) == len(taken) and max(taken) < packing.rows * packing.length  # nobody on another's place
    ends = [start + length - 1 for start, length in zip(packing.starts, lengths, strict=True)]
    assert all(start // packing.length == end // packing.length for start, end in zip(packing.starts, ends, strict=True))
    assert sum(lengths) > 0.9 * (packing.rows - 3) * packing.length  # rows are a multiple of 4


def gradients(clip, features):
    clip.zero_grad()
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return {name: p.grad.clone() for name, p in clip.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("pool", [None, "argmax", "eos"])
def test_packing_changes_neither_embeddings_nor_gradients(tiny, pool):
    config = TINY
    if pool:
        config = {**TINY, "custom_text": True, "text_cfg": {**TINY["text_cfg"], "pool_type": pool, "eos_id": 49407}}
    torch.manual_seed(0)
    clip, _ = create_backbone("test", config=config)
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    packed, expected = encode_packed(clip, tokens), clip.encode_text(tokens)
    assert_close(packed, expected, atol=1e-6, rtol=1e-5)
    ours, theirs = gradients(clip, packed), gradients(clip, expected)
    assert ours.keys() == theirs.keys() and "visual.proj" not in ours
    for name in theirs:
        assert_close(ours[name], theirs[name], atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_a_text_is_blind_to_its_neighbours(model):
    tokens = e2.get_tokenizer("e2-nano")(TEXTS)
    others = tokens.clone()
    others[1:4] = tokens[[3, 2, 1]]
    assert_close(encode_packed(model.clip, others)[0], encode_packed(model.clip, tokens)[0], atol=1e-6, rtol=1e-5)


def test_a_bidirectional_tower_gets_its_texts_whole(siglip):
    clip, _ = create_backbone(f"local-dir:{siglip}")
    tokens = e2.get_tokenizer(f"local-dir:{siglip}")(["red coat", "a silk dress with belt"])
    assert_close(encode_packed(clip, tokens), clip.encode_text(tokens))
