"""The paper reader against the authors' published forward pass, losses and gradients (recorded with random weights)."""

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize
from torch.testing import assert_close

from e2.config import ModelConfig
from e2.losses import contrastive_loss, region_loss
from e2.model import E2
from e2.targets import tag_targets
from tests.shared import FIXTURES, shared_path

TAGS = ("sub_category", "brand", "description", "season", "composition")
LAYERS = (8, 11)


def recorded(variant: str):
    """Arrays and weights: v2_5 lies in the repository, v2 in the shared folder."""
    folder = FIXTURES / "e2" if variant == "v2_5" else shared_path("fixtures/e2")
    weights = {k: v.float() for k, v in load_file(folder / f"e2_{variant}.safetensors").items()}
    return np.load(folder / f"e2_{variant}.npz", allow_pickle=False), weights


def build(weights: dict, slips: bool) -> E2:
    vision = {"image_size": 32, "layers": 12, "width": 48, "head_width": 24, "patch_size": 8}
    text = {"context_length": 16, "vocab_size": 512, "width": 32, "heads": 2, "layers": 2}
    clip = open_clip.CLIP(32, vision, text, quick_gelu=True)
    groups = 5 if "visual.proj_s5" in weights else 4
    model = E2(clip, ModelConfig(tags=TAGS[:groups], layers=LAYERS, reader="paper", slips=slips)).eval()
    missing, _ = clip.load_state_dict(weights, strict=False)
    assert not missing
    count = 2 * groups
    state = {
        "tokens": torch.stack([weights[f"visual.token_{count - row}_embedding"] for row in range(count)]),
        "image_head": weights["visual.proj_cls"],
        "heads": torch.stack([weights[f"visual.proj_s{g + 1}"] for g in range(groups)]),
    }
    for layer, suffix in zip(LAYERS, ("", "2"), strict=True):
        for name in ("query", "key", "value"):
            state[f"fusions.{layer}.{name}"] = weights[f"visual.proj_{name[0]}{suffix}"]
    for g in range(groups):
        for part in ("weight", "bias"):
            state[f"norms.{g}.{part}"] = weights[f"visual.ln_s{g + 1}.{part}"]
    model.reader.load_state_dict(state)
    return model


def forward(model: E2, arrays, noise: torch.Tensor):
    reading = model.read(torch.from_numpy(arrays["images"]), dict(zip(LAYERS, noise, strict=True)))
    tags = torch.from_numpy(arrays["text_tags"])  # (G, B, L)
    everything = torch.cat([torch.from_numpy(arrays["text_global"])[None], tags]).flatten(0, 1)
    texts = model.encode_text(everything)
    batch = len(reading.image)
    scale = model.logit_scale.exp()
    index = torch.arange(batch, len(texts)).view(len(tags), batch).T  # (B, G) rows of the tag texts
    global_loss = contrastive_loss(reading.image, texts[:batch], scale)
    targets = tag_targets(index, same_tag_positive=False)
    loss = 0.5 * global_loss + 0.5 * region_loss(reading.regions, texts, targets, scale)
    return reading, texts, loss


@pytest.mark.parametrize("variant", ["v2", "v2_5"])
@pytest.mark.parametrize("slips", [True, False])
@pytest.mark.parametrize("noise", ["noise", "argmax"])
def test_forward_and_loss_equal_the_fixture(variant, slips, noise):
    arrays, weights = recorded(variant)
    config = "paper" if slips else {"v2": "pool_fix", "v2_5": "both_fix"}[variant]
    run = f"{config}_{noise}"
    drawn = torch.from_numpy(arrays["gumbel_noise"])
    with torch.no_grad():
        reading, texts, loss = forward(build(weights, slips), arrays, drawn if noise == "noise" else drawn * 0)
    for layer, number in zip(LAYERS, (1, 2), strict=True):
        chosen = reading.selections[layer].argmax(dim=-1)
        assert_close(chosen, torch.from_numpy(arrays[f"{run}/select_index_{number}"]))
    expected = {name: torch.from_numpy(arrays[f"{run}/{name}"]) for name in ("image_raw", "image_unit", "group_unit")}
    assert_close(reading.image, expected["image_raw"], atol=2e-5, rtol=1e-5)
    assert_close(normalize(reading.image, dim=-1), expected["image_unit"], atol=1e-5, rtol=1e-5)
    assert_close(normalize(reading.regions, dim=-1).transpose(0, 1), expected["group_unit"], atol=1e-5, rtol=1e-5)
    assert_close(normalize(texts[:6], dim=-1), torch.from_numpy(arrays["text_global_unit"]), atol=1e-5, rtol=1e-5)
    assert_close(loss, torch.from_numpy(arrays[f"{run}/loss_total"]), atol=1e-5, rtol=1e-5)


def test_gradients_equal_the_fixture():
    arrays, weights = recorded("v2_5")
    model = build(weights, slips=True)
    _, _, loss = forward(model, arrays, torch.from_numpy(arrays["gumbel_noise"]))
    loss.backward()
    recorded_norms = dict(zip(arrays["param_names"].tolist(), arrays["paper_noise/grad_norms"].tolist(), strict=True))
    named = {name: p for name, p in model.clip.named_parameters() if p.grad is not None}
    compared = [name for name in named if not np.isnan(recorded_norms[name])]
    assert len(compared) > 150
    for name in compared:
        assert named[name].grad.norm().item() == pytest.approx(recorded_norms[name], rel=1e-4, abs=1e-6), name
    fusion = model.reader.fusions["11"]
    for name in ("query", "key", "value"):
        expected = torch.from_numpy(arrays[f"paper_noise/grad/visual.proj_{name[0]}2"])
        assert_close(getattr(fusion, name).grad, expected, atol=1e-5, rtol=1e-4)
