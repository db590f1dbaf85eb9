"""Devices and precisions by the names that users give."""

import torch

from e2.errors import InputError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str) -> torch.dtype:
    """The type of numbers that ``fp32``, ``bf16`` or ``fp16`` stands for."""
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision {precision!r}; choose {', '.join(PRECISIONS)}")
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
