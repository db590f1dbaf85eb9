import pytest
import torch
from torch import nn
from torch.testing import assert_close

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


def test_under_autocast_the_locations_keep_their_precision(block):
    block = block.float()
    locations = torch.randn(2, 10, CHANNELS, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        fused, _ = block(torch.randn(2, TOKENS, WIDTH), locations, nn.Linear(CHANNELS, WIDTH, bias=False))
        assert block.standardised(locations).dtype == torch.bfloat16
    assert fused.isfinite().all()


def test_rows_in_front_of_the_locations_are_skipped(block):
    tokens, rows = torch.randn(3, TOKENS, WIDTH).double(), torch.randn(3, 12, CHANNELS).double()
    lift, noise = nn.Linear(CHANNELS, WIDTH, bias=False).double(), torch.randn(3, TOKENS, 10).double()
    hidden = torch.arange(10).expand(3, -1) == 4
    for ours, expected in zip(
        block(tokens, rows, lift, noise, hidden, first=2), block(tokens, rows[:, 2:], lift, noise, hidden), strict=True
    ):
        assert_close(ours, expected)


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
