"""Attention in chunks against attention written down."""

import threading

import open_clip
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from e2 import attention
from e2.attention import attend, chunked_attention


def naive(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    logits = torch.einsum("blhd,bmhd->bhlm", query, key) / query.shape[-1] ** 0.5
    weights = (logits if mask is None else logits + mask).softmax(dim=-1)
    return torch.einsum("bhlm,bmhd->blhd", weights, value)


def with_gradients(function, tensors, *further) -> list[Tensor]:
    tensors = [x.clone().requires_grad_() for x in tensors]
    out = function(*tensors, *further)
    weights = torch.linspace(-1, 2, out.numel()).view_as(out).to(out.dtype)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), tensors)]


def causal(length: int) -> Tensor:
    return torch.full((length, length), -torch.inf).triu(1)


def apart(batch: int, heads: int, length: int) -> Tensor:
    """Packed texts: each sees itself only, and a row's texts are of its own lengths."""
    owners = torch.stack([torch.arange(length) // (2 + row) for row in range(batch)])
    hidden = owners[:, None, :, None] != owners[:, None, None, :]
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf).expand(-1, heads, -1, -1) + causal(length)


def error(x: Tensor, exact: Tensor) -> float:
    return float((x.double() - exact).norm() / exact.norm())


CASES = {  # B, L, M, H, D, mask
    "odd": (3, 7, 7, 3, 5, None),
    "one query": (5, 1, 13, 2, 16, None),
    "causal": (3, 11, 11, 2, 8, causal(11)),
    "packed": (4, 17, 17, 3, 8, apart(4, 3, 17)),
    "large logits": (2, 33, 33, 2, 64, None),
}


@pytest.fixture(params=[1, 300, attention.CHUNK])
def chunk(request, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", request.param)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equals_attention_written_down(case, dtype, chunk):
    batch, length, others, heads, width, mask = CASES[case]
    torch.manual_seed(0)
    sharp = 3.0 if case == "large logits" else 1.0
    query = sharp * torch.randn(batch, length, heads, width)
    key, value = sharp * torch.randn(batch, others, heads, width), torch.randn(batch, others, heads, width)
    tensors = [x.to(dtype) for x in (query, key, value)]
    exact = with_gradients(naive, [x.double() for x in tensors], mask)
    ours = with_gradients(attend, tensors, mask)
    most = 1e-5 if dtype == torch.float32 else 0.015
    assert max(error(x, y) for x, y in zip(ours, exact, strict=True)) < most


def test_bf16_is_about_as_exact_as_pytorch():
    torch.manual_seed(0)
    tensors = [scale * torch.randn(4, 65, 4, 32) for scale in (2.5, 2.5, 1.0)]
    tensors = [x.bfloat16() for x in tensors]
    exact = with_gradients(naive, [x.double() for x in tensors])

    def pytorch(*tensors):
        return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in tensors)).transpose(1, 2)

    for ours, theirs, y in zip(with_gradients(attend, tensors), with_gradients(pytorch, tensors), exact, strict=True):
        assert error(ours, y) < 2.5 * error(theirs, y)


def test_query_that_sees_nothing_gives_zeros():
    mask = causal(5)
    mask[2] = -torch.inf
    out, *grads = with_gradients(attend, [torch.randn(2, 5, 2, 4) for _ in range(3)], mask)
    assert (out[:, 2] == 0).all() and (out[:, 3] != 0).any()
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.fixture
def block():
    torch.manual_seed(0)
    return open_clip.transformer.ResidualAttentionBlock(24, 3)


def parameters_and_input(block, x, mask, *, chunked, run=lambda block, x, mask: block(x, attn_mask=mask)) -> list[Tensor]:
    x = x.clone().requires_grad_()
    with chunked_attention() if chunked else torch.enable_grad():
        out = run(block, x, mask)
        return [out.detach(), *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])]


@pytest.mark.parametrize("mask", [None, causal(9), apart(4, 3, 9).flatten(0, 1), causal(9) < 0])
def test_open_clip_block_is_the_same(block, mask):
    x = torch.randn(4, 9, 24)
    plain, ours = (parameters_and_input(block, x, mask, chunked=chunked) for chunked in (False, True))
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(ours, plain, strict=True))


def test_checkpointed_block_is_the_same(block):
    def again(block, x, mask):
        return checkpoint(block, x, attn_mask=mask, use_reentrant=False)

    x = torch.randn(4, 9, 24)
    plain = parameters_and_input(block, x, None, chunked=True)
    ours = parameters_and_input(block, x, None, chunked=True, run=again)
    assert all(torch.equal(a, b) for a, b in zip(ours, plain, strict=True))


def heads_first(length: int) -> list[Tensor]:
    return [torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3)]


def test_call_of_pytorch_is_answered():
    tensors = heads_first(6)
    with chunked_attention():
        out = F.scaled_dot_product_attention(*tensors, attn_mask=causal(6))
    assert "Attend" in str(out.grad_fn.next_functions[0][0])
    assert torch.allclose(out, F.scaled_dot_product_attention(*tensors, is_causal=True), atol=1e-6)


def learnable() -> Tensor:
    return torch.zeros(6, 6, requires_grad=True)


@pytest.mark.parametrize(
    "arguments", [{"is_causal": True}, {"scale": 0.7}, {"attn_mask": causal(6) == 0}, {"attn_mask": learnable()}]
)
def test_other_calls_stay_with_pytorch(arguments):
    tensors = heads_first(6)
    with chunked_attention():
        out = F.scaled_dot_product_attention(*tensors, **arguments)
    assert torch.equal(out, F.scaled_dot_product_attention(*tensors, **arguments))


def test_autocast_computes_in_bf16_and_gives_gradients_of_the_input():
    tensors = [torch.randn(2, 6, 3, 8) for _ in range(3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out, *grads = with_gradients(attend, tensors)
    assert out.dtype == torch.bfloat16 and {grad.dtype for grad in grads} == {torch.float32}
    exact = with_gradients(naive, [x.double() for x in tensors])
    assert max(error(x, y) for x, y in zip((out, *grads), exact, strict=True)) < 0.015


def test_shapes_that_only_pytorch_broadcasts():
    query, key, value = torch.randn(1, 3, 6, 8), torch.randn(2, 3, 5, 8), torch.randn(2, 3, 5, 4)
    with chunked_attention():
        out = F.scaled_dot_product_attention(query, key, value)
    assert torch.equal(out, F.scaled_dot_product_attention(query, key, value))


def test_pool_of_a_resnet_is_the_same():
    """It names all arguments and keeps its weights apart."""
    torch.manual_seed(0)
    pool = open_clip.modified_resnet.AttentionPool2d(2, 12, 3, 8)
    x = torch.randn(4, 12, 2, 2)
    with chunked_attention():
        out = pool(x)
    assert torch.allclose(out, pool(x), atol=1e-6)


def test_leaves_pytorch_as_it_was():
    before = F.scaled_dot_product_attention, F.multi_head_attention_forward
    with pytest.raises(ValueError), chunked_attention():
        raise ValueError
    assert before == (F.scaled_dot_product_attention, F.multi_head_attention_forward)


def test_the_outermost_context_leaves_last():
    x, own = torch.randn(1, 1, 3, 4), F.scaled_dot_product_attention
    with chunked_attention():
        with chunked_attention():
            pass
        assert F.scaled_dot_product_attention is not own and attention._inside()
        assert torch.allclose(F.scaled_dot_product_attention(x, x, x), own(x, x, x), atol=1e-6)
    assert F.scaled_dot_product_attention is own and not attention._inside()


def test_a_thread_that_leaves_takes_nothing_from_another():
    entered, left = threading.Event(), threading.Event()

    def other():
        with chunked_attention():
            entered.set()
            left.wait()

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait()
    with chunked_attention():
        left.set()
        thread.join()
        assert F.scaled_dot_product_attention is attention._attention


def test_other_threads_keep_pytorchs_own(monkeypatch):
    asked = []
    monkeypatch.setattr(attention, "attend", lambda *tensors: asked.append(tensors) or tensors[0])
    x = torch.randn(1, 1, 3, 4)
    with chunked_attention():
        F.scaled_dot_product_attention(x, x, x)
        thread = threading.Thread(target=lambda: F.scaled_dot_product_attention(x, x, x))
        thread.start()
        thread.join()
    assert len(asked) == 1
