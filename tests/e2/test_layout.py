"""The layout that settings leave open: by the backbone's weights, or as in the run that training goes on from."""

import pytest
from safetensors.torch import save_file

import e2
from e2.config import ModelConfig
from e2.layout import complete


@pytest.mark.parametrize(
    ("given", "pretrained", "earlier", "layout"),
    [
        ({}, False, None, ("local", "stream")),
        ({}, True, None, ("patches", "pooled")),
        ({"locations": "local"}, True, None, ("local", "pooled")),
        ({"gates": "pooled"}, False, None, ("local", "pooled")),
        ({}, True, ("local", "stream"), ("local", "stream")),
        ({"gates": "stream"}, True, ("patches", "pooled"), ("patches", "stream")),
    ],
)
def test_given_settings_win_over_those_of_an_earlier_run_and_these_over_the_defaults(given, pretrained, earlier, layout):
    before = earlier and ModelConfig(locations=earlier[0], gates=earlier[1])
    config = complete(ModelConfig(tags=("brand",), tokens=3, **given), pretrained, before)
    assert (config.locations, config.gates) == layout
    assert config.tags == ("brand",) and config.tokens == 3


def test_a_model_beside_pretrained_weights_chooses_among_patches(tiny, tmp_path):
    scratch = e2.create_model_and_transforms(tiny, tags=("brand",))[0]
    save_file(scratch.clip.state_dict(), tmp_path / "clip.safetensors")
    tuned = e2.create_model_and_transforms(tiny, str(tmp_path / "clip.safetensors"), tags=("brand",))[0]
    layouts = [(model.config.locations, model.config.gates, model.reader.into_stream) for model in (scratch, tuned)]
    assert layouts == [("local", "stream", True), ("patches", "pooled", False)]
