"""Attention other than PyTorch's own, in the same blocks: of packed texts on a GPU (``e2.segments``), and in bf16 on a CPU:
exact, a few sequences at a time, without keeping the weights.

PyTorch's fused kernel for CPUs saves as much memory, but its backward pass runs at a sixth of the speed of bf16 matrix
products; its plain one is fast and keeps all weights. Here the weights of a few sequences are computed by batched products,
and again for the gradient (Rabe and Staats, 2021; FlashAttention, Dao et al., NeurIPS 2022). With PyTorch 2.14 on one thread
of a processor with AMX, forward and backward pass of (32, 65, 6, 64) take 0.21 s, PyTorch's 0.73 s.
"""

import contextlib
import inspect
import math
import threading
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from e2.segments import SegmentMask, attend_within

CHUNK = 2**19  # weights that a thread holds at a time: 1 MB in bf16, about what its cache takes
LOG2_E = math.log2(math.e)  # powers of two cost a quarter of powers of e

_pytorch_attention = F.scaled_dot_product_attention
_pytorch_multi_head_attention = F.multi_head_attention_forward
_here = threading.local()  # other threads keep PyTorch's
_lock, _inside_now = threading.Lock(), 0  # threads and contexts that are inside
MULTI_HEAD_ATTENTION = inspect.signature(F.multi_head_attention_forward)


@contextlib.contextmanager
def chunked_attention() -> Iterator[None]:
    """Computes attention in open_clip's and timm's blocks by :func:`attend`, in this thread alone; the backward pass must run
    inside it, too.

    All of it goes through one of two functions of PyTorch, which are replaced. (A ``TorchFunctionMode`` would not
    reach blocks that are computed again in the backward pass.) Calls that want more, such as dropout, the weights or a mask
    that learns, go on to PyTorch.
    """
    with _instead_of_pytorchs("chunks"):
        yield


@contextlib.contextmanager
def segmented_attention() -> Iterator[None]:
    """Computes attention under a :class:`e2.segments.SegmentMask` by :func:`e2.segments.attend_within`, all other by PyTorch.

    The mask decides, not the thread: PyTorch computes blocks again for the gradient in a thread of its own.
    """
    with _instead_of_pytorchs("segments"):
        yield


def takes_segments() -> bool:
    """True in this thread within :func:`segmented_attention`."""
    return _inside() == "segments"


@contextlib.contextmanager
def _instead_of_pytorchs(kind: Literal["chunks", "segments"]) -> Iterator[None]:
    before = _inside()
    _replace(+1)
    _here.inside = kind
    try:
        yield
    finally:
        _here.inside = before
        _replace(-1)


def _replace(change: int) -> None:
    """Replaces PyTorch's functions from the first that enters to the last that leaves."""
    global _inside_now
    with _lock:
        _inside_now += change
        ours = (_attention, _multi_head_attention) if _inside_now else (_pytorch_attention, _pytorch_multi_head_attention)
        F.scaled_dot_product_attention, F.multi_head_attention_forward = ours  # type: ignore[assignment]


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **further: Any,
) -> Tensor:
    """``F.scaled_dot_product_attention``: (B, H, L, D), (B, H, M, D) -> (B, H, L, D)."""
    if further.get("scale") == query.shape[-1] ** -0.5:  # the usual one, which open_clip from version 4 on spells out
        further.pop("scale")
    usual = query.ndim == 4 and query.shape[:2] == key.shape[:2] and key.shape == value.shape and _is_ours(attn_mask)
    if not usual or dropout_p or is_causal or any(further.values()):
        return _pytorch_attention(query, key, value, attn_mask, dropout_p, is_causal, **further)
    return _ours(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), attn_mask).transpose(1, 2)


def _multi_head_attention(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
    """``F.multi_head_attention_forward``; here for sequences that attend to themselves, (L, B, W) -> (L, B, W).

    PyTorch's own copies query, key and value apart, pads their gradients with zeros to three times their size and adds them.
    """
    bound = MULTI_HEAD_ATTENTION.bind(*args, **kwargs)
    bound.apply_defaults()
    asked = bound.arguments
    if not _is_plain(asked):
        return _pytorch_multi_head_attention(*args, **kwargs)
    heads, mask = asked["num_heads"], asked["attn_mask"]
    if mask is not None and mask.ndim == 3:  # (B * H, L, L)
        mask = mask.unflatten(0, (-1, heads))
    packed = F.linear(asked["query"].transpose(0, 1), asked["in_proj_weight"], asked["in_proj_bias"])  # (B, L, 3 W)
    query, key, value = packed.unflatten(-1, (3, heads, -1)).unbind(2)
    x = _ours(query, key, value, mask).flatten(2)
    return F.linear(x, asked["out_proj_weight"], asked["out_proj_bias"]).transpose(0, 1), None


def _inside() -> Literal["chunks", "segments"] | None:
    return getattr(_here, "inside", None)


def _ours(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """(B, L, H, D) each -> (B, L, H, D)."""
    if isinstance(mask, SegmentMask):
        return attend_within(query, key, value, mask)
    return attend(query, key, value, mask)


def _is_plain(asked: dict[str, Any]) -> bool:
    """True if a batch attends to itself by packed weights, without any further option."""
    packed = asked["query"] is asked["key"] is asked["value"] and asked["in_proj_weight"] is not None
    extended = any(asked[name] is not None for name in ("bias_k", "key_padding_mask"))
    further = extended or any(asked[name] for name in ("add_zero_attn", "dropout_p", "need_weights", "is_causal"))
    return packed and not further and asked["query"].ndim == 3 and _is_ours(asked["attn_mask"])


def _is_ours(mask: Tensor | None) -> bool:
    """True if one of our attentions takes this mask, in this thread."""
    if isinstance(mask, SegmentMask):
        return True
    return _inside() == "chunks" and (mask is None or (mask.is_floating_point() and not mask.requires_grad))


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention.

    Args:
        query: (B, L, H, D).
        key, value: (B, M, H, D).
        mask: added to the logits, broadcastable to (B, H, L, M); gets no gradient.

    Returns:
        (B, L, H, D); zeros for a query that sees nothing.
    """
    bias = query.new_zeros(1, 1) if mask is None else (mask * LOG2_E).to(query.dtype)
    out: Tensor = _Attend.apply(query, key, value, bias.expand(len(query), query.shape[2], -1, -1))
    return out


class _Attend(torch.autograd.Function):
    """A weight is power / total, power = 2^(logit - peak). Of these only a query's peak and total are kept.

    The peak is subtracted within the product, so logits are rounded once: those that matter are small then and lose next to
    nothing in bf16.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # as autocast does for PyTorch's own
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        peaks = query.new_empty(*query.shape[:3], 1)  # (B, L, H, 1)
        totals = torch.empty_like(peaks, dtype=torch.float32)
        for rows in _chunks(query, key):
            q, k, v = (_by_head(x[rows]) for x in (query, key, value))
            b = bias[rows].flatten(0, 1)
            peak = _peak(_logits(q, k, b))
            powers = _logits(q, k, b - peak).exp2_()
            total = powers.sum(dim=-1, keepdim=True, dtype=torch.float32).clamp_(min=1e-20)
            for place, part in zip((out, peaks, totals), (powers @ v / total, peak, total), strict=True):
                _put(place[rows], part)
        ctx.save_for_backward(query, key, value, bias, out, peaks, totals)
        return out

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        query, key, value, bias, *kept = ctx.saved_tensors
        grads = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (query, key, value)]
        scale = query.shape[-1] ** -0.5
        for rows in _chunks(query, key):
            q, k, v, out, peak, total, g = (_by_head(x[rows]) for x in (query, key, value, *kept, grad))
            powers = _logits(q, k, bias[rows].flatten(0, 1) - peak).exp2_()
            g = g / total
            common = (g * out).sum(dim=-1, keepdim=True).to(q.dtype)  # to all logits of a query: the softmax does not see it
            g = g.to(q.dtype)
            logits = torch.baddbmm(common, g, v.mT, beta=-1).mul_(powers)  # their gradient
            for place, part in zip(grads, (logits @ k * scale, logits.mT @ q * scale, powers.mT @ g), strict=True):
                _put(place[rows], part)
        return *grads, None


def _logits(query: Tensor, key: Tensor, bias: Tensor) -> Tensor:
    """(C, L, D), (C, M, D), broadcastable to (C, L, M) -> (C, L, M), to base 2."""
    return torch.baddbmm(bias, query, key.mT, alpha=LOG2_E * query.shape[-1] ** -0.5)


def _peak(logits: Tensor) -> Tensor:
    """(C, L, M) -> (C, L, 1), finite also where nothing is to be seen; the maximum of bf16 values is several times slower."""
    return logits.float().amax(dim=-1, keepdim=True).clamp_(min=torch.finfo(logits.dtype).min).to(logits.dtype)


def _chunks(query: Tensor, key: Tensor) -> Iterator[slice]:
    """Slices of the sequences that are processed together."""
    batch, length, heads, _ = query.shape
    size = max(1, CHUNK * torch.get_num_threads() // (heads * length * key.shape[1]))
    return (slice(start, start + size) for start in range(0, batch, size))


def _by_head(x: Tensor) -> Tensor:
    """(B, L, H, D) -> (B * H, L, D)."""
    return x.transpose(1, 2).flatten(0, 1)


def _put(place: Tensor, x: Tensor) -> None:
    """Writes (B * H, L, D) to (B, L, H, D)."""
    place.copy_(x.unflatten(0, (-1, place.shape[2])).transpose(1, 2))
