"""The same bits in every run, at two threads."""

import contextlib

import pytest
import torch

import e2
from e2.attention import chunked_attention
from e2.batch import Batch
from e2.config import LossConfig
from e2.lookup import lookup
from e2.methods import METHODS
from tests.conftest import TAGS

pytestmark = pytest.mark.usefixtures("two_threads")

PRODUCTS, TEXTS, TAG_TEXTS = 128, 120, 12


def a_large_batch() -> Batch:
    """Large enough for PyTorch to share its gradients' sums among threads; texts and tags occur several times."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 49000, (TEXTS + TAG_TEXTS, 40), generator=draw)
    tokens[:, 0], tokens[:, -1] = 49406, 49407
    images = torch.randn(PRODUCTS, 3, 32, 32, generator=draw)
    text_index = torch.randint(0, TEXTS, (PRODUCTS,), generator=draw)
    tag_index = torch.randint(TEXTS, TEXTS + TAG_TEXTS, (PRODUCTS, len(TAGS)), generator=draw)
    return Batch(images, tokens, text_index, tag_index, torch.arange(len(tokens)))


def gradients(method, batch: Batch, precision: str) -> dict[str, torch.Tensor]:
    method.zero_grad()
    torch.manual_seed(0)
    batch.noise = method.draw_noise(len(batch), batch.images.device)
    fast = chunked_attention() if precision == "bf16" else contextlib.nullcontext()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"), fast:
        sum(method(batch).values()).backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", list(METHODS))
def test_a_step_gives_the_same_bits_every_time(tiny, name, precision):
    torch.manual_seed(0)
    model = e2.create_model_and_transforms(tiny, tags=TAGS if METHODS[name].uses_tokens else ())[0]
    method, batch = METHODS[name](model, LossConfig(), TAGS).train(), a_large_batch()
    first = gradients(method, batch, precision)
    for _ in range(3):
        again = gradients(method, batch, precision)
        assert not [name for name in first if not torch.equal(first[name], again[name])]


@pytest.mark.parametrize("shape", [(64,), (8, 8)])
def test_rows_looked_up_several_times_get_the_same_gradient_every_time(shape):
    draw = torch.Generator().manual_seed(0)
    table, index = torch.randn(40, *shape, generator=draw), torch.randint(0, 40, (3000, 2), generator=draw)
    weights = torch.randn(3000, 2, *shape, generator=draw)
    assert torch.equal(lookup(table, index), table[index])

    def gradient(take) -> torch.Tensor:
        leaf = table.clone().requires_grad_()
        (take(leaf, index) * weights).sum().backward()
        return leaf.grad

    first = gradient(lookup)
    exact = torch.zeros_like(table, dtype=torch.float64).index_add_(0, index.reshape(-1), weights.flatten(0, 1).double())
    torch.testing.assert_close(first.double(), exact, rtol=1e-5, atol=1e-4)
    assert all(torch.equal(first, gradient(lookup)) for _ in range(20))
