"""Advice on precisions."""

import pytest
import torch

from e2.devices import advise_on
from e2.notes import note

OLD, NEW, ARM = (
    {"architecture": "x86_64", "avx512_bf16": False},
    {"architecture": "x86_64", "amx_bf16": True},
    {"architecture": "arm"},
)


@pytest.mark.parametrize(
    ("found", "precision", "device", "told"),
    [
        (OLD, "bf16", "cpu", True),
        (OLD, "fp32", "cpu", False),
        (OLD, "bf16", "cuda", False),
        (NEW, "bf16", "cpu", False),
        (ARM, "bf16", "cpu", False),
        ({}, "bf16", "cpu", False),
    ],
)
def test_a_cpu_without_bf16_is_noted(found, precision, device, told, monkeypatch, capsys):
    note.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    for _ in range(2):
        advise_on(precision, torch.device(device))
    assert capsys.readouterr().err.count("fp32 is faster here") == told
