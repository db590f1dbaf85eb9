"""Devices and precisions by the names that users give, and how to compute in them."""

import contextlib
from collections.abc import Iterator

import torch

from e2.attention import chunked_attention, segmented_attention
from e2.errors import InputError, require_choice
from e2.notes import note

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str) -> torch.dtype:
    """The type of numbers that ``fp32``, ``bf16`` or ``fp16`` stands for."""
    require_choice("precision", precision, PRECISIONS)
    return PRECISIONS[precision]


def open_device(name: str) -> torch.device:
    """A device that computes here: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``, a GPU where there is one.

    Raises:
        InputError: PyTorch knows no such device, or there is none here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; choose cpu, cuda or auto") from error
    try:
        torch.ones(1, device=device).item()  # names exist for many devices that are not there, or do not compute
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not available here; choose cpu or auto") from error
    return device


@contextlib.contextmanager
def computing_in(dtype: torch.dtype, device: torch.device, *, pytorch_attention: bool = False) -> Iterator[None]:
    """Lets models compute in ``dtype``: by autocast, and with the attention that is fast there.

    In bf16 on a CPU that is `e2.attention`: with PyTorch 2.14, ViT-B/16 takes 2 to 4 % less time forward than by PyTorch's own
    attention, and 5 to 8 % less with the gradient (one thread). A GPU has a kernel for packed texts. With
    ``pytorch_attention`` it is PyTorch's own all the same.
    """
    attention = contextlib.nullcontext() if pytorch_attention else _fast_attention(dtype, device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32), attention:
        yield


def _fast_attention(dtype: torch.dtype, device: torch.device) -> contextlib.AbstractContextManager[None]:
    if device.type == "cpu":
        return chunked_attention() if dtype == torch.bfloat16 else contextlib.nullcontext()
    return segmented_attention()


def advise_on(precision: str, device: torch.device) -> None:
    """Notes, once, that a CPU without instructions for bf16 computes in it several times slower than in fp32."""
    if precision == "bf16" and device.type == "cpu" and _cpu_has_bf16() is False:
        note("--precision bf16: this CPU has no instructions for it; fp32 is faster here")


def fastest_precision(device: torch.device) -> str:
    """``bf16`` or ``fp32``."""
    return "bf16" if has_bf16(device) else "fp32"


def has_bf16(device: torch.device) -> bool:
    """True if the processor is known to multiply bfloat16 natively; elsewhere fp32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(_cpu_has_bf16())


def _cpu_has_bf16() -> bool | None:
    """Tells whether the processor multiplies bfloat16; None where it is not known: not x86-64, or an older PyTorch."""
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    known = found.get("architecture") == "x86_64"
    return any(found.get(name) for name in ("amx_bf16", "avx512_bf16")) if known else None
