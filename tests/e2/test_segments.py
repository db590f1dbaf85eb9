"""Packed texts by the places at which they begin, against a mask of each pair."""

import copy
import inspect

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

import e2
from e2 import attention, packing, segments
from e2.attention import segmented_attention
from e2.backbones import create_backbone
from e2.devices import computing_in
from e2.packing import encode_packed, lay_out
from e2.segments import has_kernel, segment_mask
from e2.texts import text_ends
from tests.conftest import TINY

TEXTS = ["a red tee", "Levi's blue jeans with copper rivets and a leather patch", "coat", "", "word " * 90] * 3
REFUSED = (RuntimeError, AssertionError, IndexError)  # by the shape, in one way or another
KERNEL = segments.variable_length_kernel()
needs_kernel = pytest.mark.skipif(KERNEL is None, reason="this PyTorch has no varlen_attn with windows")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel runs on CUDA GPUs only")


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    return create_backbone("test", config=TINY)[0]


@pytest.fixture(scope="module")
def tokens():
    return e2.get_tokenizer("e2-nano")(TEXTS)


@pytest.fixture
def one_by_one(monkeypatch):
    """A kernel that computes anywhere: each text by itself, by PyTorch's causal attention. Yields the number of its calls."""
    calls = []

    def kernel(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size):
        assert window_size == (-1, 0) and cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
        lengths = cu_seq_q.diff().tolist()
        assert max(lengths) <= max_q == max_k and sum(lengths) == len(query)
        calls.append(len(lengths))
        texts = zip(*(x.transpose(0, 1).split(lengths, dim=1) for x in (query, key, value)), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*text, is_causal=True) for text in texts], dim=1).transpose(0, 1)

    monkeypatch.setattr(segments, "variable_length_kernel", lambda: kernel)
    monkeypatch.setattr(packing, "has_kernel", lambda *_: True)
    return calls


def values_and_gradients(clip, tokens, *, segmented: bool) -> dict[str, torch.Tensor]:
    clip.zero_grad()
    with segmented_attention() if segmented else torch.enable_grad():
        found = encode_packed(clip, tokens)
        (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
    return {"embeddings": found.detach()} | {n: p.grad.clone() for n, p in clip.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_tower_is_the_same_with_a_kernel_and_with_a_mask(clip, tokens, one_by_one, checkpointing):
    clip = copy.deepcopy(clip).double()
    clip.transformer.grad_checkpointing = checkpointing
    dense = values_and_gradients(clip, tokens, segmented=False)
    assert not one_by_one
    ours = values_and_gradients(clip, tokens, segmented=True)
    assert len(one_by_one) == TINY["text_cfg"]["layers"] * (2 if checkpointing else 1)
    assert ours.keys() == dense.keys() and "transformer.resblocks.0.attn.in_proj_weight" in ours
    for name in dense:
        assert_close(ours[name], dense[name], atol=1e-12, rtol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("evaluating", [False, True])
def test_so_it_is_without_gradients(clip, tokens, one_by_one, evaluating):
    """PyTorch's layer has another way there, which a mask of floats keeps it from."""
    clip = copy.deepcopy(clip).train(not evaluating)
    with torch.inference_mode():
        dense = encode_packed(clip, tokens)
        with segmented_attention():
            assert_close(encode_packed(clip, tokens), dense, atol=1e-6, rtol=1e-4)
    assert one_by_one


def test_bounds_part_texts_and_free_places(clip, tokens):
    layout = lay_out(text_ends(clip), tokens)
    rows, length = layout.owners.shape
    bounds = layout.bounds.tolist()
    assert layout.bounds.dtype == torch.int32 and bounds[0] == 0 and bounds[-1] == rows * length
    owners = [set(layout.owners.flatten()[start:end].tolist()) for start, end in zip(bounds, bounds[1:], strict=False)]
    assert all(len(texts) == 1 for texts in owners)
    assert sorted(text for (text,) in owners if text) == list(range(1, len(tokens) + 1))
    assert all(start // length == (end - 1) // length for start, end in zip(bounds, bounds[1:], strict=False))


def test_pytorchs_own_attention_refuses_such_a_mask(clip):
    mask, block = segment_mask(torch.tensor([0, 3, 6], dtype=torch.int32), 6), clip.transformer.resblocks[0]
    assert block.attention(torch.randn(2, 6, TINY["text_cfg"]["width"])).isfinite().all()
    with pytest.raises(REFUSED):
        block.attention(torch.randn(2, 6, TINY["text_cfg"]["width"]), attn_mask=mask)
    with pytest.raises(REFUSED):
        F.scaled_dot_product_attention(*[torch.randn(2, 3, 6, 8)] * 3, attn_mask=mask)


@pytest.mark.parametrize(
    ("device", "dtype", "width", "taken"),
    [
        ("cuda", torch.bfloat16, 64, True),
        ("cuda", torch.float16, 256, True),
        ("cuda", torch.float32, 64, False),  # half precision alone
        ("cuda", torch.bfloat16, 20, False),
        ("cuda", torch.bfloat16, 264, False),
        ("cpu", torch.bfloat16, 64, False),
    ],
)
@needs_kernel
def test_the_kernel_is_taken_for_what_it_computes(device, dtype, width, taken, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert has_kernel(torch.device(device), dtype, width) == taken
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not has_kernel(torch.device(device), dtype, width)


def test_without_its_context_a_mask_is_used(clip, tokens, one_by_one):
    encode_packed(clip, tokens)
    with computing_in(torch.bfloat16, torch.device("cpu")):
        encode_packed(clip, tokens)
    assert not one_by_one and not attention.takes_segments()


@needs_kernel
def test_the_librarys_own_kernel_takes_the_call(clip, tokens, monkeypatch):
    """Shapes alone, forward and backward: no kernel runs on tensors without contents."""
    monkeypatch.setattr(packing, "has_kernel", lambda *_: True)
    layout = lay_out(text_ends(clip), tokens)
    layout = type(layout)(*(part.to("meta") for part in layout))
    clip = copy.deepcopy(clip).bfloat16().to("meta")
    with segmented_attention():
        found = encode_packed(clip, tokens.to("meta"), layout)
        found.sum().backward()
    assert found.shape == (len(tokens), TINY["embed_dim"])
    assert clip.transformer.resblocks[0].attn.in_proj_weight.grad is not None
    inspect.signature(KERNEL).bind(*[None] * 7, window_size=(-1, 0))


@needs_gpu
@needs_kernel
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_computes_on_a_gpu_what_a_mask_does(clip, tokens, dtype):
    clip, tokens = copy.deepcopy(clip).cuda(), tokens.cuda()
    exact = values_and_gradients(clip, tokens, segmented=False)
    with computing_in(dtype, torch.device("cuda")):
        ours = values_and_gradients(clip, tokens, segmented=True)
    for name in exact:
        assert float((ours[name] - exact[name]).norm()) <= 0.02 * float(exact[name].norm()) + 1e-6, name
