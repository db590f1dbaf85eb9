import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from e2.fusion import FusionBlock
from e2.selection import SELECTORS, make_selector

WIDTH, CHANNELS, RANK, TOKENS = 12, 8, 6, 4


@pytest.fixture
def block() -> FusionBlock:
    """A block whose every parameter is trained, in double precision."""
    torch.manual_seed(0)
    block = FusionBlock(WIDTH, CHANNELS, RANK, TOKENS, make_selector("soft", 1.0)).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    return block


def naive(block: FusionBlock, tokens, locations, lift, noise):
    """The block's formula as the paper writes it: norm, key and value of every location, then the choice."""
    normed = block.norm_locations(locations)
    queries = block.query(block.norm_tokens(tokens)) + block.own_queries
    logits = torch.einsum("bsr,bnr->bsn", queries, block.key(normed)) * RANK**-0.5
    weights = block.selector(logits, noise)
    values = lift(locations) + block.value_up(block.value_down(normed))
    return (tokens + weights @ values) / 2, weights


@pytest.mark.parametrize("selector", SELECTORS)
def test_projecting_what_tokens_ask_and_pick_equals_projecting_every_location(block, selector):
    block.selector = make_selector(selector, 0.7)
    tokens = torch.randn(3, TOKENS, WIDTH, dtype=torch.float64, requires_grad=True)
    locations = torch.randn(3, 10, CHANNELS, dtype=torch.float64, requires_grad=True)
    lift = nn.Linear(CHANNELS, WIDTH, bias=False).double()  # what is lifted without bias may be lifted before or after
    noise, target = torch.randn(3, TOKENS, 10).double(), torch.randn(3, TOKENS, WIDTH).double()
    results = []
    for forward in (block, lambda *inputs: naive(block, *inputs)):
        inputs = [tokens, locations, *block.parameters()]
        fused, weights = forward(tokens, locations, lift, noise)
        gradients = torch.autograd.grad((fused * target).sum(), inputs, allow_unused=True)
        results.append([fused, weights, *(torch.zeros(()) if g is None else g for g in gradients)])
    for ours, expected in zip(*results, strict=True):
        assert_close(ours.double().expand_as(expected), expected.double(), rtol=1e-4, atol=2e-4)  # weights are made in float32


def test_under_autocast_no_copy_of_the_locations_is_made():
    block = FusionBlock(WIDTH, 64, RANK, TOKENS, make_selector("soft", 1.0))
    locations, made = torch.randn(2, 50, 64, dtype=torch.bfloat16), []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            made.extend(x for x in tree_leaves(out) if isinstance(x, torch.Tensor) and x.numel() >= locations.numel())
            return out

    with torch.autocast("cpu", torch.bfloat16), Watch():
        fused, _ = block(torch.randn(2, TOKENS, WIDTH), locations, nn.Linear(64, WIDTH, bias=False))
    assert all(x.untyped_storage().data_ptr() == locations.untyped_storage().data_ptr() for x in made)  # views at most
    assert fused.isfinite().all()


def test_rows_in_front_of_the_locations_are_skipped(block):
    tokens, rows = torch.randn(3, TOKENS, WIDTH).double(), torch.randn(3, 12, CHANNELS).double()
    lift, noise = nn.Linear(CHANNELS, WIDTH, bias=False).double(), torch.randn(3, TOKENS, 10).double()
    hidden = torch.arange(10).expand(3, -1) == 4
    for ours, expected in zip(
        block(tokens, rows, lift, noise, hidden, first=2), block(tokens, rows[:, 2:], lift, noise, hidden), strict=True
    ):
        assert_close(ours, expected)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_moments_are_those_of_a_layer_norm(block, offset):
    rows = torch.randn(3, 10, 64) * torch.linspace(0.1, 10, 10)[:, None] + offset
    mean, rate = block.moments(rows, 0)
    standard = nn.functional.layer_norm(rows, (64,), eps=block.norm_locations.eps)
    assert_close((rows - mean.mT) * rate.mT, standard, rtol=1e-3, atol=1e-3)


def test_tokens_that_pre_trained_blocks_made_alike_still_choose_apart(block):
    tokens = torch.randn(3, 1, WIDTH, dtype=torch.float64).expand(-1, TOKENS, -1)
    lift = nn.Linear(CHANNELS, WIDTH, bias=False).double()
    _, weights = block(tokens, torch.randn(3, 10, CHANNELS, dtype=torch.float64), lift)
    assert (weights[:, 0] - weights[:, 1]).abs().amax() > 0.1


@pytest.mark.parametrize("selector", ["soft", "uniform"])
def test_hidden_locations_might_as_well_not_be_there(block, selector):
    block.selector = make_selector(selector, 1.0)
    tokens, locations = torch.randn(3, TOKENS, WIDTH).double(), torch.randn(3, 10, CHANNELS).double()
    lift = nn.Linear(CHANNELS, WIDTH, bias=False).double()
    hidden = torch.zeros(3, 10, dtype=torch.bool)
    hidden[:, [2, 3, 7]] = True
    fused, weights = block(tokens, locations, lift, hidden=hidden)
    expected, kept = block(tokens, locations[:, ~hidden[0]], lift)
    assert_close(fused, expected)
    assert_close(weights[..., ~hidden[0]], kept)
