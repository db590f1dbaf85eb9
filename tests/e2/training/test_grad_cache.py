"""Chunks give the gradients of the whole batch, at a chunk's memory."""

import contextlib

import pytest
import torch
from torch import nn

import e2
from e2.config import LossConfig
from e2.methods import METHODS
from e2.training.grad_cache import CachedFeatures
from e2.training.patch_dropout import draw_patches
from e2.training.run import start_run
from tests.conftest import TAGS
from tests.e2.training.batches import random_batch


def make(name, tiny, **model_options):
    torch.manual_seed(0)
    kind = METHODS[name]
    model_options.setdefault("selector", "hard")  # draws noise
    model = e2.create_model_and_transforms(tiny, tags=TAGS if kind.uses_tokens else (), **model_options)[0]
    return kind(model, LossConfig(), TAGS).train()


def make_batch(method, count=10, texts=13):
    tokens = torch.randint(1, 49000, (texts, 16))
    tokens[:, 9], tokens[:, 10:] = 49407, 0
    return random_batch(method, tokens, count)


def gradients(method):
    found = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    method.zero_grad()
    return found


def whole(method, batch, context=contextlib.nullcontext):
    with context():
        sum(method(batch).values()).backward()
    return gradients(method)


def in_chunks(method, batch, size, context=contextlib.nullcontext):
    cached = CachedFeatures(method, batch, size, context)
    with context():
        sum(method.losses(cached.features, batch).values()).backward()
    cached.backward()
    return gradients(method)


def assert_same(left, right, tolerance):
    assert left.keys() == right.keys()
    size = torch.sqrt(sum((tensor**2).sum() for tensor in left.values()))
    assert size > 0.1
    for name, tensor in left.items():
        assert (tensor - right[name]).norm() <= tolerance * size, name


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("size", [1, 3, 100])
def test_chunks_give_the_gradients_of_the_whole(tiny, name, size):
    method = make(name, tiny)
    batch = make_batch(method)
    batch.kept = draw_patches(len(batch), 16, 0.5, batch.tokens.device) if size == 3 else None
    assert bool(batch.noise) == METHODS[name].uses_tokens
    assert_same(whole(method, batch), in_chunks(method, batch, size), 3e-6)


def test_the_paper_layout_and_its_noise_too(tiny):
    method = make("e2", tiny, reader="paper")
    batch = make_batch(method)
    assert_same(whole(method, batch), in_chunks(method, batch, 4), 3e-6)


def test_other_noise_gives_other_gradients(tiny):
    """So the agreement above is one of noise as well."""
    method = make("e2", tiny)
    batch = make_batch(method)
    first = whole(method, batch)
    batch.noise = method.draw_noise(len(batch), torch.device("cpu"))
    with pytest.raises(AssertionError):
        assert_same(first, in_chunks(method, batch, 3), 3e-6)


def test_autocast_hands_no_cast_from_the_pass_without_a_graph_to_the_one_with_it(tiny):
    method = make("e2", tiny)
    batch = make_batch(method)

    def context():
        return torch.autocast("cpu", torch.bfloat16)

    assert_same(whole(method, batch, context), in_chunks(method, batch, 5, context), 0.05)


def test_dropout_falls_alike_in_both_passes(tiny):
    """Else features and their gradients would belong to different networks; the first pass shows which one it was."""
    method = make("clip", tiny)
    method.model.visual.patch_dropout = nn.Identity()
    blocks = method.model.visual.transformer.resblocks
    blocks[0].mlp = nn.Sequential(blocks[0].mlp, nn.Dropout(0.5))
    batch = make_batch(method)
    seen = []
    inner = method.image_features
    method.image_features = lambda *given: seen.append(inner(*given)) or seen[-1]
    in_chunks(method, batch, 5)
    first, second = seen[:2], seen[2:]
    assert not torch.equal(first[0]["image"], first[1]["image"])
    for one, again in zip(first, second, strict=True):
        assert torch.equal(one["image"], again["image"].detach())


def test_a_frozen_tower_is_left_alone(tiny):
    method = make("multifield", tiny)
    method.model.lock_text_tower(0)
    for p in method.model.visual.parameters():
        p.requires_grad_(False)
    batch = make_batch(method)
    found = in_chunks(method, batch, 3)
    assert_same(whole(method, batch), found, 3e-6)
    assert not any("visual" in name for name in found)


class Saved:
    """Counts the bytes that graphs hold for the backward pass, and the most they ever held at once."""

    def __init__(self):
        self.now = self.most = 0

    def pack(self, tensor):
        counter, size = self, tensor.numel() * tensor.element_size()
        counter.now += size
        counter.most = max(counter.most, counter.now)

        class Kept:
            value = tensor

            def __del__(self):
                counter.now -= size

        return Kept()

    def hooks(self):
        return torch.autograd.graph.saved_tensors_hooks(self.pack, lambda kept: kept.value)


def test_the_memory_of_the_graph_is_that_of_a_chunk(tiny):
    method = make("e2", tiny)
    batch = make_batch(method, count=32, texts=32)
    most = {}
    for name, step in (("whole", whole), ("chunks", lambda m, b: in_chunks(m, b, 4))):
        saved = Saved()
        with saved.hooks():
            step(method, batch)
        most[name] = saved.most
    assert most["chunks"] < most["whole"] / 4, most


def test_a_chunked_run_ends_where_the_whole_one_does(shop, tiny, tmp_path):
    from safetensors.torch import load_file

    options = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 11, "data.workers": 0, "backbone": tiny}
    options |= {"device": "cpu", "steps": 4, "eval_every": 4, "optim.lr": 1e-4}
    for name, chunk in (("whole", None), ("chunks", 4)):
        start_run(tmp_path / name, {**options, "data.chunk_size": chunk})
    left, right = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "chunks"))
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=2e-6)
