"""Every tensor of a weights file is accounted for, wherever it is loaded."""

import pytest
import torch
from torch import nn

import e2
from e2.accounting import listed, load_exactly, misfits
from e2.backbones import create_backbone
from e2.notes import note


def test_all_misfits_are_named_together():
    wanted = {"a": (2, 3), "b": (1,), "c": (4,)}
    found = misfits(wanted, {"b": torch.ones(1), "c": torch.ones(5), "d": torch.ones(1)})
    assert found == "missing: a; left over: d; of another shape: c (5,) instead of (4,)"
    assert misfits(wanted, {name: torch.ones(shape) for name, shape in wanted.items()}) == ""


def test_many_names_are_drawn_together():
    names = [f"visual.blocks.{i}.{part}" for i in range(12) for part in ("weight", "bias")] + ["proj"]
    assert listed(names) == "visual.blocks.* (24), proj"
    assert listed(names[:3]) == "visual.blocks.0.weight, visual.blocks.0.bias, visual.blocks.1.weight"


def test_nothing_is_loaded_where_something_does_not_fit():
    layer = nn.Linear(2, 2)
    before = layer.weight.clone()
    with pytest.raises(e2.InputError, match=r"x.pt: missing: bias; left over: scale$"):
        load_exactly(layer, {"weight": torch.ones(2, 2), "scale": torch.ones(1)}, "x.pt")
    assert torch.equal(layer.weight, before)


def test_a_backbones_misfits_are_all_named(tiny, tmp_path):
    state = create_backbone(tiny)[0].state_dict()
    del state["visual.proj"], state["ln_final.bias"]
    torch.save({**state, "stranger": torch.ones(1), "text_projection": torch.ones(3, 3)}, tmp_path / "weights.pt")
    with pytest.raises(e2.InputError) as error:
        create_backbone(tiny, str(tmp_path / "weights.pt"))
    for said in ("missing: visual.proj, ln_final.bias", "left over: stranger", "text_projection (3, 3) instead of (16, 16)"):
        assert said in str(error.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["weights.pt", "open_clip_pytorch_model.bin"])
def test_torchscript_is_named_and_never_run(tiny, tmp_path, name):
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / name))
    for pretrained in (tmp_path / name, tmp_path):
        if pretrained.is_dir() and name.endswith(".pt"):
            continue  # no name that is looked for in a folder
        with pytest.raises(e2.InputError, match="is a TorchScript archive.*which is not run") as error:
            create_backbone(tiny, str(pretrained))
        assert "\n" not in str(error.value)


QUICK = {"vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}}
QUICK |= {"embed_dim": 16, "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}


@pytest.fixture(scope="module")
def two_activations(tmp_path_factory):
    """A name with a sibling of the other activation, as open_clip has them."""
    import json

    import open_clip

    folder = tmp_path_factory.mktemp("configs")
    for name, quick in (("test-act", False), ("test-act-quickgelu", True)):
        (folder / f"{name}.json").write_text(json.dumps({**QUICK, "quick_gelu": quick}))
    open_clip.add_model_config(folder)
    return "test-act"


def test_weights_that_do_not_tell_their_activation_are_told_of(two_activations, tmp_path, capsys):
    note.cache_clear()
    model = create_backbone(two_activations)[0]
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    create_backbone(two_activations, str(tmp_path / "bare.pt"))
    said = capsys.readouterr().err
    assert "does not say what activation" in said and "choose test-act-quickgelu" in said
    create_backbone(f"{two_activations}-quickgelu", str(tmp_path / "bare.pt"))
    assert not capsys.readouterr().err


def test_openais_own_weights_run_with_quick_gelu(two_activations, tmp_path, capsys):
    note.cache_clear()
    right = create_backbone(f"{two_activations}-quickgelu")[0]
    numbers = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    torch.save({**right.state_dict(), **numbers}, tmp_path / "openai.pt")
    loaded = create_backbone(two_activations, str(tmp_path / "openai.pt"))[0]
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(loaded.encode_image(images), right.encode_image(images))
    assert loaded.origin.config["quick_gelu"] and not capsys.readouterr().err
