"""Advice on precisions."""

import pytest
import torch

from e2 import attention
from e2.devices import advise_on, computing_in, fastest_precision
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


@pytest.mark.parametrize(("found", "fastest"), [(OLD, "fp32"), (NEW, "bf16"), (ARM, "fp32"), ({}, "fp32")])
def test_the_fastest_precision_is_bf16_only_where_it_is_known_to_be(found, fastest, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert fastest_precision(torch.device("cpu")) == fastest


@pytest.mark.parametrize(("dtype", "chunked"), [(torch.bfloat16, True), (torch.float32, False)])
def test_attention_in_bf16_on_a_cpu_is_ours(dtype, chunked, monkeypatch):
    """PyTorch's copies its projection once for each position there."""
    asked = []
    attend = attention.attend
    monkeypatch.setattr(attention, "attend", lambda *tensors: asked.append(1) or attend(*tensors))
    block = torch.nn.MultiheadAttention(8, 2).eval()  # as open_clip builds it
    x = torch.randn(2, 5, 8).transpose(0, 1)
    with torch.no_grad():
        exact = block(x, x, x, need_weights=False)[0]
        with computing_in(dtype, torch.device("cpu")):
            found = block(x, x, x, need_weights=False)[0]
    assert bool(asked) == chunked and found.dtype == dtype
    assert torch.allclose(found.float(), exact, atol=0.02)
