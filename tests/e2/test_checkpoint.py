import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import e2
from e2.checkpoint import save_config, save_weights, weights_sha256


@pytest.fixture
def folder(model, tiny, tmp_path):
    """A saved model whose weights all differ from a fresh one's."""
    torch.manual_seed(5)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.1)
    save_weights(model, tmp_path)
    save_config(tmp_path, backbone=tiny, model=model, method="e2", training={})
    return tmp_path


def test_a_saved_model_reloads_to_the_same_bits(model, tiny, folder):
    loaded, preprocess, tokenizer = e2.load(folder)
    images, tokens = torch.randn(2, 3, 32, 32), tokenizer(["a red tee", "a coat"])
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(images), model.encode_image(images))
        assert torch.equal(loaded.encode_regions(images), model.encode_regions(images))
        assert torch.equal(loaded.encode_text(tokens), model.encode_text(tokens))
    assert loaded.tags == model.tags and loaded.config == model.config
    assert not loaded.training
    assert str(preprocess) == str(e2.create_model_and_transforms(tiny)[2])


def test_backbone_weights_keep_open_clips_names(model, folder):
    names = set(load_file(folder / "model.safetensors"))
    assert set(model.clip.state_dict()) <= names
    assert all(name.startswith("e2.") for name in names - set(model.clip.state_dict()))


def test_a_plain_methods_weights_load_in_plain_open_clip(tiny, tmp_path):
    import open_clip

    model = e2.create_model_and_transforms(tiny)[0]
    save_weights(model, tmp_path)
    plain = open_clip.create_model(tiny, pretrained=str(tmp_path / "model.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain.encode_image(images), model.encode_image(images))


def test_weights_from_a_file_are_the_start_of_a_model(model, tiny, tmp_path):
    save_file(model.clip.state_dict(), tmp_path / "start.safetensors")
    torch.manual_seed(9)
    started = e2.create_model_and_transforms(tiny, str(tmp_path / "start.safetensors"), tags=("brand",))[0].eval()
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(started.encode_image(images), model.clip.encode_image(images), atol=1e-5, rtol=0)


def damage(folder, kind):
    weights, config = folder / "model.safetensors", folder / "config.json"
    content = json.loads(config.read_text())
    if kind == "weights cut in half":
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    elif kind == "no weights":
        weights.unlink()
    elif kind == "no safetensors":
        weights.write_bytes(b"PK\x03\x04 something else")
    elif kind == "wrong shapes":
        save_file({k: t[..., :1].contiguous() if t.ndim else t for k, t in load_file(weights).items()}, weights)
    elif kind == "extra key":
        save_file({**load_file(weights), "stranger": torch.ones(1)}, weights)
    elif kind == "no config":
        config.unlink()
    elif kind == "config cut":
        config.write_text(config.read_text()[:40])
    elif kind == "config of another program":
        config.write_text('{"model_type": "clip"}')
    elif kind == "newer format":
        config.write_text(json.dumps({**content, "format": 99}))
    elif kind == "unknown setting":
        config.write_text(json.dumps({**content, "model": {**content["model"], "colour": 1}}))
    elif kind == "missing part":
        config.write_text(json.dumps({k: v for k, v in content.items() if k != "backbone"}))


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("weights cut in half", "model.safetensors"),
        ("no weights", "model.safetensors"),
        ("no safetensors", "model.safetensors"),
        ("wrong shapes", "model.safetensors"),
        ("extra key", "stranger"),
        ("no config", "config.json"),
        ("config cut", "config.json"),
        ("config of another program", "config.json"),
        ("newer format", "format 99"),
        ("unknown setting", "colour"),
        ("missing part", "backbone"),
    ],
)
def test_foreign_and_damaged_checkpoints_are_named(folder, kind, named):
    damage(folder, kind)
    with pytest.raises(e2.InputError, match=named) as raised:
        e2.load(folder)
    assert "\n" not in str(raised.value)


def test_the_hash_names_the_weights(folder):
    before = weights_sha256(folder)
    assert before == weights_sha256(folder) and len(before) == 64
    tensors = load_file(folder / "model.safetensors")
    tensors["logit_scale"] += 1
    save_file(tensors, folder / "model.safetensors")
    assert weights_sha256(folder) != before
