"""The layout that settings leave open: by the backbone's weights, or as in the run that training goes on from."""

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

import e2
from e2.config import ModelConfig
from e2.layout import complete


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
    config = complete(ModelConfig(tags=("brand",), tokens=3, **given), pretrained, before)
    assert (config.locations, config.gates, config.regions) == layout
    assert config.tags == ("brand",) and config.tokens == 3


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
