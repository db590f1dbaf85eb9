"""Maps of towers against attention weights got another way, and gradients against differences."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torchvision.transforms.functional import to_tensor

from e2.adapters.encoder import Encoder
from e2.benchmarks.grounding.attention_maps import GRADIENT, attention_maps, gradient_maps
from e2.benchmarks.grounding.maps import read_maps
from tests.e2.test_towers import TOWERS, build, photos


def seen(model) -> Encoder:
    return Encoder(model, None, None, {}, device="cpu")


TIMM = [name for name in TOWERS if not name.startswith("native")]


def native_weights(visual, images: torch.Tensor) -> list[torch.Tensor]:
    """(B, L, L) of each block, from the attention modules' own answer."""
    x, found = visual._embeds(images), []
    for block in visual.transformer.resblocks:
        normed = block.ln_1(x)
        found.append(block.attn(normed, normed, normed, need_weights=True)[1])
        x = block(x)
    return found


def timm_weights(trunk, images: torch.Tensor) -> list[torch.Tensor]:
    """The same of a timm tower, from the plain (not fused) path."""
    found = []
    for block in trunk.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, out: found.append(inputs[0].mean(dim=1)))
    trunk.forward_features(images)
    return list(found)  # the hooks stay and would add to it


def rolled(rows: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    joint = torch.eye(weights[0].shape[-1])
    for own in weights:
        joint = (own / 2 + torch.eye(own.shape[-1]) / 2) @ joint
    return (rows[:, None] @ joint)[:, 0]


def grid_of(rows: torch.Tensor) -> torch.Tensor:
    patches = rows[:, -16:].reshape(-1, 4, 4)
    return patches / patches.sum(dim=(1, 2), keepdim=True)


@pytest.mark.parametrize("tower", list(TOWERS))
def test_attention_and_rollout_against_weights_got_another_way(tower, timm_vits):
    clip = build(tower).clip
    found = attention_maps(seen(clip), photos())
    with torch.no_grad():
        weights = timm_weights(clip.visual.trunk, photos()) if tower in TIMM else native_weights(clip.visual, photos())
        pooled = torch.zeros(3, weights[0].shape[-1])
        if tower in ("class token", "native", "classifier as projection"):
            pooled[:, 0] = 1
        elif "mean" in tower:
            pooled[:, -16:] = 1 / 16
        else:
            pool = clip.visual.trunk.attn_pool
            states = clip.visual.trunk.forward_features(photos())
            keys = pool.kv(states)[..., : pool.latent.shape[-1]].unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            query = pool.q(pool.latent).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            pooled = (query @ keys.mT * pool.scale).softmax(-1).mean(1)[:, 0]
        by_pool = tower in ("siglip", "map with projection")
        last = pooled if by_pool else (pooled[:, None] @ weights[-1])[:, 0]
    assert_close(found["attention"], grid_of(last), atol=1e-5, rtol=0)
    assert_close(found["rollout"], grid_of(rolled(pooled, weights)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("tower", ["siglip", "mean", "class token", "native"])
def test_before_training_an_e2_looks_where_its_backbone_looks(tower, timm_vits):
    model, texts = build(tower), {"brand": torch.nn.functional.normalize(torch.randn(3, 32), dim=-1)}
    if tower == "native":
        texts = {"brand": texts["brand"][:, : model.visual.output_dim]}
    for name, found in attention_maps(seen(model.clip), photos()).items():
        assert_close(attention_maps(seen(model), photos())[name], found, atol=1e-5, rtol=0)
    own, plain = gradient_maps(seen(model), photos(), texts), gradient_maps(seen(model.clip), photos(), texts)
    for name in GRADIENT:
        assert_close(own[name]["brand"], plain[name]["brand"], atol=1e-4, rtol=0)


def test_the_published_layout_with_tokens_in_front(timm_vits):
    model = build("native", reader="paper")
    maps = attention_maps(seen(model), photos()) | {
        k: v["a"] for k, v in gradient_maps(seen(model), photos(), _text(model)).items()
    }
    for found in maps.values():
        assert found.shape == (3, 4, 4)
        assert_close(found.sum(dim=(1, 2)), torch.ones(3))


def test_gradient_is_the_slope_of_the_cosine():
    model = build("native").clip.double()
    images, text = photos()[:1].double(), _text(model)["a"][:1].double()
    found = gradient_maps(seen(model), images, {"a": text})["gradient"]["a"][0]

    def cosine(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return torch.nn.functional.normalize(model.encode_image(batch), dim=-1) @ text[0]

    step, slopes = 1e-4, []
    for row, column in ((0, 0), (2, 3)):
        moves = torch.zeros(3 * 64, *images.shape[1:], dtype=torch.double)
        for i in range(3 * 64):
            moves[i, i // 64, 8 * row + i % 64 // 8, 8 * column + i % 8] = step
        slopes.append(((cosine(images + moves) - cosine(images - moves)) / (2 * step)).abs().sum())
    assert float(found[0, 0] / found[2, 3]) == pytest.approx(float(slopes[0] / slopes[1]), rel=1e-3)


def test_maps_leave_no_hooks_and_no_gradients_behind(timm_vits):
    model = build("siglip")
    attention_maps(seen(model), photos())
    gradient_maps(seen(model), photos(), _text(model))
    assert all(p.grad is None for p in model.parameters())
    assert not any(block._forward_pre_hooks or block._forward_hooks for block in model.visual.trunk.blocks)


def _text(model) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    dim = model.encode_image(photos().to(next(model.parameters()).dtype)).shape[-1]
    return {"a": torch.nn.functional.normalize(torch.randn(3, dim, generator=generator), dim=-1)}


@pytest.mark.parametrize("tower", ["siglip", "native"])
def test_maps_in_bf16_are_those_in_fp32_up_to_rounding(tower, timm_vits):
    model = build(tower)
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(3)]
    texts = {"brand": random.standard_normal((3, getattr(model.visual, "output_dim", 32))).astype(np.float32)}

    def maps(precision: str) -> dict[str, np.ndarray]:
        encoder = Encoder(model, to_tensor, None, {}, device="cpu", precision=precision)
        return {name: own["brand"] for name, own in read_maps(encoder, images, texts).items()}

    exact, rounded = maps("fp32"), maps("bf16")
    assert set(exact) == set(rounded) > {"attention", "rollout", *GRADIENT}
    for name, found in rounded.items():
        np.testing.assert_allclose(found, exact[name], atol=0.012, rtol=0.05, err_msg=name)
