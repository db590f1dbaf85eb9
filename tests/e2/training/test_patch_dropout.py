"""Patch dropout: open_clip's own patches, positions kept, nothing dropped at inference, refused where it cannot be."""

import json

import open_clip
import pytest
import torch
from open_clip.transformer import PatchDropout
from timm.layers import PatchDropout as TimmPatchDropout
from torch.testing import assert_close

import e2
from e2.config import LossConfig
from e2.errors import InputError
from e2.methods import METHODS
from e2.training.patch_dropout import draw_patches
from e2.training.run import start_run
from tests.conftest import TAGS, TINY
from tests.e2.training.stops import last_weights, resumed_weights


def made(name, backbone, **options):
    torch.manual_seed(0)
    model = e2.create_model_and_transforms(backbone, tags=TAGS if METHODS[name].uses_tokens else (), **options)[0]
    return METHODS[name](model, LossConfig(), TAGS).train()


def gradients(method, image):
    method.zero_grad()
    (image * torch.linspace(-1, 1, image.numel()).view_as(image)).sum().backward()
    return {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", ["open_clip", "timm"])
def test_embeddings_and_gradients_are_those_of_the_towers_own_patch_dropout(tiny, siglip, family):
    method, images = made("clip", tiny if family == "open_clip" else f"local-dir:{siglip}"), torch.randn(3, 3, 32, 32)
    whole = method.image_features(images)["image"]
    torch.manual_seed(5)
    if family == "open_clip":
        kept = draw_patches(3, 16, 0.6, images.device)
        owner, field, own = method.model.visual, "patch_dropout", PatchDropout(0.6)
    else:  # timm keeps the smallest draws, open_clip the largest
        kept = torch.randn(3, 16).argsort(dim=-1)[:, :6]
        owner, field, own = method.model.visual.trunk, "patch_drop", TimmPatchDropout(0.6, num_prefix_tokens=0)
    ours = method.image_features(images, kept=kept)["image"]
    found = gradients(method, ours)
    setattr(owner, field, own)
    torch.manual_seed(5)
    theirs = method.model.clip.encode_image(images)
    assert kept.shape == (3, 6) and not torch.allclose(ours, whole, atol=1e-3)
    assert_close(ours, theirs)
    expected = gradients(method, theirs)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_close(found[name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("options", [{"locations": "local"}, {"locations": "patches"}, {"attention": "one-way"}])
def test_patches_keep_their_places(tiny, options):
    """All patches in another order are the same photo."""
    method, images = made("e2", tiny, selector="soft", **options), torch.randn(2, 3, 32, 32)
    whole, shuffled = (method.image_features(images, kept=kept) for kept in (None, torch.randn(2, 16).argsort(dim=-1)))
    for name in ("image", "regions"):
        assert_close(whole[name], shuffled[name], atol=1e-5, rtol=1e-4)


def test_tokens_choose_among_the_kept_patches_only(tiny):
    method, images = made("e2", tiny, selector="soft", locations="patches"), torch.randn(2, 3, 32, 32)
    changed, places = images.clone(), torch.arange(16).expand(2, -1)
    changed[:, :, :8, :8] = 0.0  # the first patch
    for kept, alike in ((places[:, 1:], True), (places[:, :-1], False)):
        left, right = (method.image_features(pixels, kept=kept)["regions"] for pixels in (images, changed))
        assert torch.allclose(left, right) == alike


DROPPED = "--set optim.patch_dropout=0.5 --set model.locations=patches --set model.selector=hard"


def test_a_run_resumes_to_the_same_bits_and_its_maps_are_of_the_whole_grid(shop, tiny, tmp_path, monkeypatch):
    weights = last_weights(DROPPED, shop, tmp_path / "through")
    model, _, _ = e2.load(tmp_path / "through")
    images = torch.randn(2, 3, 32, 32)
    assert {tuple(weight.shape[-2:]) for weight in model.selections(images)["brand"].values()} == {(4, 4)}
    resumed = resumed_weights(DROPPED, shop, tmp_path / "broken", monkeypatch)
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"data.cache": "cache"}, "data.cache"),
        ({"model.reader": "paper"}, "published layout"),
        ({"method": "clip", "backbone": "test-conv"}, "ModifiedResNet is not supported"),
        ({"backbone": "test-dropping"}, "configuration drops patches already"),
    ],
)
def test_what_cannot_drop_patches_is_refused(shop, tiny, tmp_path, options, told):
    convolutions = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    for name, vision in (("test-conv", convolutions), ("test-dropping", {**TINY["vision_cfg"], "patch_dropout": 0.5})):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**TINY, "vision_cfg": vision}))
        open_clip.add_model_config(path)
    fixed = {"data.data": str(shop), "data.tags": "brand", "backbone": tiny, "steps": 2, "device": "cpu"}
    with pytest.raises(InputError, match=f"optim.patch_dropout.*{told}"):
        start_run(tmp_path / "run", {**fixed, "data.batch_size": 8, "optim.patch_dropout": 0.5, **options})
