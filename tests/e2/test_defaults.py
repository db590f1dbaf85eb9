"""Settings left open are filled in by the backbone's weights, or as in the run that training goes on from."""

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

import e2
from e2.config import LossConfig, ModelConfig
from e2.defaults import complete_loss, complete_model


@pytest.mark.parametrize(
    ("given", "pretrained", "earlier", "layout"),
    [
        ({}, False, None, ("local", "stream", "tokens")),
        ({}, True, None, ("patches", "pooled", "with-image")),
        ({"locations": "local"}, True, None, ("local", "pooled", "with-image")),
        ({"gates": "pooled"}, False, None, ("local", "pooled", "tokens")),
        ({}, True, ("local", "stream", "tokens"), ("local", "stream", "tokens")),
        ({"gates": "stream"}, True, ("patches", "pooled", "with-image"), ("patches", "stream", "with-image")),
    ],
)
def test_given_settings_win_over_those_of_an_earlier_run_and_these_over_the_defaults(given, pretrained, earlier, layout):
    before = earlier and ModelConfig(locations=earlier[0], gates=earlier[1], regions=earlier[2])
    config = complete_model(ModelConfig(tags=("brand",), tokens=3, **given), pretrained, before)
    assert (config.locations, config.gates, config.regions) == layout
    assert config.tags == ("brand",) and config.tokens == 3


@pytest.mark.parametrize(
    ("given", "pretrained", "weights"),
    [
        ({}, False, (3.0, 0.0)),
        ({}, True, (0.3, 0.3)),
        ({"region_weight": 1.0}, True, (1.0, 0.3)),
        ({"region_weight": 0.0, "image_tag_weight": 0.5}, False, (0.0, 0.5)),
    ],
)
def test_weights_of_the_tags_depend_on_the_backbones_weights(given, pretrained, weights):
    loss = complete_loss(LossConfig(**given), pretrained)
    assert (loss.region_weight, loss.image_tag_weight) == weights


def test_a_model_beside_pretrained_weights_chooses_among_patches(tiny, tmp_path):
    scratch = e2.create_model_and_transforms(tiny, tags=("brand",))[0]
    save_file(scratch.clip.state_dict(), tmp_path / "clip.safetensors")
    tuned = e2.create_model_and_transforms(tiny, str(tmp_path / "clip.safetensors"), tags=("brand",))[0]
    layouts = [(model.config.locations, model.config.regions, model.reader.into_stream) for model in (scratch, tuned)]
    assert layouts == [("local", "tokens", True), ("patches", "with-image", False)]


@pytest.mark.parametrize("gates", ["stream", "pooled"])
def test_regions_with_the_image_add_the_pooled_output_to_the_tokens(tiny, gates):
    plain, both = (
        e2.create_model_and_transforms(tiny, tags=("brand", "season"), gates=gates, regions=regions)[0].eval()
        for regions in ("tokens", "with-image")
    )
    both.load_state_dict(plain.state_dict())
    for parameter in (*both.reader.gates.values(), *plain.reader.gates.values()):
        torch.nn.init.constant_(parameter, 0.1)
    images, pooled = torch.randn(3, 3, 32, 32), []
    both.visual.ln_post.register_forward_hook(lambda norm, inputs, output: pooled.append(output))
    with torch.no_grad():
        difference = both.encode_regions(images) - plain.encode_regions(images)
    assert_close(difference, torch.einsum("bw,ewd->bed", pooled[0][:, 0], both.reader.heads))
