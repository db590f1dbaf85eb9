"""Causal attention of texts that stand side by side, each within itself, by the variable-length kernel of a GPU.

A mask of packed rows holds (R, H, P, P) numbers, and hides most of the products that are computed. The kernel (FlashAttention,
Dao et al., NeurIPS 2022) takes the places at which texts begin in its stead. It computes in half precision only.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WIDTH_STEP, WIDEST = 8, 256  # of the kernel's heads
OLDEST_GPU = (8, 0)  # Ampere


class SegmentMask(Tensor):
    """Mask of packed rows in the few numbers that the kernel takes; as a tensor it is empty, so that PyTorch's own attention
    refuses it and never runs without a mask.

    Attributes:
        bounds: (N + 1,) int32 place of each text's first token, counted over all rows; behind the last one the number of all.
        longest: tokens of a row, which no text exceeds.
    """

    bounds: Tensor
    longest: int

    def to(self, *_: Any, **__: Any) -> "SegmentMask":  # type: ignore[override]
        """Stays as it is: blocks ask for the type of their numbers, and it has none."""
        return self


def segment_mask(bounds: Tensor, longest: int) -> SegmentMask:
    """Makes a mask of where texts begin and how long a row is."""
    mask = torch.empty(0, device=bounds.device).as_subclass(SegmentMask)
    mask.bounds, mask.longest = bounds, longest
    return mask


def has_kernel(device: torch.device, dtype: torch.dtype, width: int) -> bool:
    """Tells whether the kernel computes there: numbers of a type, heads of a width."""
    if dtype not in (torch.float16, torch.bfloat16) or width % WIDTH_STEP or width > WIDEST:
        return False
    return _is_new_enough(device) and variable_length_kernel() is not None


def _is_new_enough(device: torch.device) -> bool:
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and torch.backends.cuda.is_flash_attention_available()
        and torch.cuda.get_device_capability(device) >= OLDEST_GPU
    )


@functools.cache
def variable_length_kernel() -> Callable[..., Any] | None:
    """PyTorch's ``varlen_attn``; None in versions without it, or whose own is not told of a window."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in inspect.signature(varlen_attn).parameters else None


def attend_within(query: Tensor, key: Tensor, value: Tensor, mask: SegmentMask) -> Tensor:
    """Causal softmax attention within each text: (R, P, H, D) each -> (R, P, H, D)."""
    kernel = variable_length_kernel()
    assert kernel is not None
    bounds, longest = mask.bounds, mask.longest
    parts = (x.flatten(0, 1) for x in (query, key, value))  # (R * P, H, D)
    out: Tensor = kernel(*parts, bounds, bounds, longest, longest, window_size=(-1, 0))
    return out.view_as(query)
