"""Gradients of several processes, sent while the backward pass goes on; ``test_distributed`` compares what comes out."""

import contextlib

import pytest
import torch
from torch import nn

from e2.batch import Batch
from e2.training import averaging
from e2.training.averaging import GradientAverage
from e2.training.grad_cache import CachedFeatures


class Sent:
    """A reduction under way among two processes with the same gradients."""

    def __init__(self, flat, **_):
        self.flat = flat.mul_(2)

    def wait(self):
        pass


@pytest.fixture
def sent(monkeypatch):
    """Sizes of what was sent."""
    sizes = []

    def all_reduce(flat, async_op):
        assert async_op
        sizes.append(len(flat))
        return Sent(flat)

    monkeypatch.setattr(averaging.dist, "all_reduce", all_reduce)
    monkeypatch.setattr(averaging.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(averaging, "BUCKET", 1)  # a parameter each
    return sizes


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return nn.ModuleList([nn.Linear(3, width, bias=False) for width in (3, 3, 5)])


def loss(layers, x):
    for layer in layers:
        x = layer(x).tanh()
    return x.square().sum()


def test_buckets_leave_while_the_pass_goes_on(layers, sent):
    """The last layer's gradient is on its way before the first layer's is there."""
    x = torch.randn(4, 3)
    loss(layers, x).backward()
    alone = [layer.weight.grad.clone() for layer in layers]
    layers.zero_grad()
    before = []
    layers[0].weight.register_hook(lambda gradient: before.append(list(sent)))
    average = GradientAverage(layers.parameters())
    with average.during():
        loss(layers, x).backward()
    assert before[0] == [15, 9] and sent == [15, 9, 9]
    average.finish()
    assert sent == [15, 9, 9] and all(torch.equal(layer.weight.grad, one) for layer, one in zip(layers, alone, strict=True))
    loss(layers, x).backward()
    assert len(sent) == 3  # the hooks are gone


def test_what_gets_no_gradient_holds_nothing_up_in_the_end(layers, sent):
    layers[1].requires_grad_(False)
    unused = nn.Parameter(torch.zeros(7))
    average = GradientAverage([*layers.parameters(), unused])
    with average.during():
        loss(layers, torch.randn(4, 3)).backward()
    assert not sent  # the unused one would come first
    average.finish()
    assert sent == [15, 9] and unused.grad is None and layers[1].weight.grad is None


def test_types_are_sent_apart(sent, monkeypatch):
    monkeypatch.setattr(averaging, "BUCKET", 1 << 20)
    weights = [nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in (torch.float32, torch.float32, torch.bfloat16)]
    average = GradientAverage(weights)
    with average.during():
        sum(weight.sum().float() for weight in weights).backward()
    average.finish()
    assert sent == [2, 4] and all((weight.grad == 1).all() for weight in weights)


class TwoLayers:
    """A method of one layer for photos and one for texts."""

    def __init__(self, layers):
        self.image, self.text = layers

    def image_features(self, images, noise, kept):
        return {"image": self.image(images)}

    def text_features(self, tokens, layout):
        return {"text": self.text(tokens.float())}


def test_with_gradient_caching_only_the_last_pass_sends(sent):
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(3, 2, bias=False), nn.Linear(4, 2, bias=False)])
    index = torch.arange(5)
    batch = Batch(torch.randn(5, 3), torch.randint(9, (5, 4)), index, index[:, None], index)
    passes = []

    @contextlib.contextmanager
    def last():
        passes.append(list(sent))
        with average.during():
            yield

    average = GradientAverage(layers.parameters(), layers[1].parameters())
    cached = CachedFeatures(TwoLayers(layers), batch, 2)
    (cached.features.images["image"] * cached.features.texts["text"]).sum().backward()
    cached.backward(last)
    assert passes == [[]] and sent == [8, 6]  # the texts' are complete before it, the photos' after it
    average.finish()
    assert sent == [8, 6]
    ours = [layer.weight.grad.clone() for layer in layers]
    layers.zero_grad()
    (layers[0](batch.images) * layers[1](batch.tokens.float())).sum().backward()
    for layer, gradient in zip(layers, ours, strict=True):
        torch.testing.assert_close(gradient, layer.weight.grad)
