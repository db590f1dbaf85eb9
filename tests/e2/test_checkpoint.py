import copy
import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import e2
from e2.checkpoint import save_config, save_weights, weights_sha256
from e2.config import ModelConfig
from e2.defaults import complete_model


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
    assert all(name.startswith("reader.") for name in names - set(model.clip.state_dict()))


def test_one_naming_serves_memory_and_disk(model, tiny, folder):
    torch.manual_seed(9)
    other = e2.create_model_and_transforms(tiny, tags=model.tags)[0].eval()
    other.load_state_dict(load_file(folder / "model.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(other.encode_regions(images), model.encode_regions(images))
    assert {name for name, _ in model.named_parameters()} <= model.state_dict().keys()


def test_the_backbone_shares_what_moves_and_copies(model):
    copied = copy.deepcopy(model).double()
    assert copied.clip.logit_scale is copied.logit_scale and copied.clip.visual is copied.visual
    assert copied.clip.attn_mask.dtype == torch.float64 and model.clip.logit_scale.dtype == torch.float32
    assert copied.encode_text(torch.ones(1, 77, dtype=torch.long)).dtype == torch.float64


def test_checkpoints_of_format_1_load(model, folder):
    """They had ``e2.`` for ``reader.``, ``local`` for the reader's ``locations``, and the setting ``places``."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    names = {"reader.locations.": "e2.local.", "reader.": "e2.", "norm_locations": "norm_places"}
    former = {}
    for name, tensor in load_file(weights).items():
        for current, before in names.items():
            name = name.replace(current, before)
        former[name] = tensor
    content = json.loads(config.read_text())
    content["model"]["places"] = content["model"].pop("locations")
    assert {"e2.local.lift.0.weight", "e2.fusions.3.norm_places.weight"} <= former.keys()
    save_file(former, weights)
    config.write_text(json.dumps({**content, "format": 1}))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(e2.load(folder)[0].encode_regions(images), model.encode_regions(images))
    again = e2.create_model_and_transforms("test-tiny", str(folder), tags=model.tags)[0].eval()  # as a start, too
    assert torch.equal(again.encode_regions(images), model.encode_regions(images))


def test_tokens_of_format_2_have_no_queries_of_their_own(model, folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    save_file({name: tensor for name, tensor in load_file(weights).items() if not name.endswith("own_queries")}, weights)
    config.write_text(json.dumps({**json.loads(config.read_text()), "format": 2}))
    for block in model.reader.fusions.values():
        torch.nn.init.zeros_(block.own_queries)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(e2.load(folder)[0].encode_regions(images), model.encode_regions(images))
    again = e2.create_model_and_transforms("test-tiny", str(folder), tags=model.tags)[0].eval()
    assert torch.equal(again.encode_regions(images), model.encode_regions(images))


@pytest.mark.parametrize(
    ("written_as", "setting", "value"), [(3, "gates", "stream"), (3, "registers", "read"), (4, "regions", "tokens")]
)
def test_settings_that_a_former_format_lacks_are_what_it_did(folder, written_as, setting, value):
    config = folder / "config.json"
    content = json.loads(config.read_text())
    content["model"] = {name: given for name, given in content["model"].items() if name not in ("regions", setting)}
    config.write_text(json.dumps({**content, "format": written_as}))
    assert getattr(e2.load(folder)[0].config, setting) == value
    assert e2.load(folder)[0].config.regions == "tokens"
    again = e2.create_model_and_transforms("test-tiny", str(folder), tags=("brand",))[0]  # as a start, too
    assert again.config.gates == "stream" and again.config.regions == "tokens"


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


def test_the_weights_file_says_what_it_is(model, folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "version": e2.__version__,
            "backbone": "test-tiny",
            "tags": ",".join(model.tags),
        }


def test_a_model_loads_in_half_precision_and_takes_photos_as_they_are(folder, model):
    loaded, _, tokenizer = e2.load(folder, device="cpu", precision="bf16")
    images, tokens = torch.randn(2, 3, 32, 32), tokenizer(["a red tee", "a coat"])
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        for half, full in (
            (loaded.encode_image(images, normalize=True), model.encode_image(images, normalize=True)),
            (loaded.encode_text(tokens, normalize=True), model.encode_text(tokens, normalize=True)),
            (loaded.encode_regions(images, normalize=True), model.encode_regions(images, normalize=True)),
        ):
            torch.testing.assert_close(half.float(), full, atol=0.1, rtol=0)
    for option in ({"device": "abacus"}, {"precision": "fp8"}):
        with pytest.raises(e2.InputError, match=f"unknown {next(iter(option))}"):
            e2.load(folder, **option)


def test_a_configuration_is_taken_whole_and_options_win_over_it(tiny):
    config = complete_model(ModelConfig(tags=("brand",), tokens=3, selector="hard"), pretrained=False)
    assert e2.create_model_and_transforms(tiny, config=config)[0].config == config
    made = e2.create_model_and_transforms(tiny, tags=("colour",), config=config, tokens=1)[0].config
    assert made == dataclasses.replace(config, tags=("colour",), tokens=1)


@pytest.mark.parametrize("name", ["tiny", "siglip"])
def test_hugging_faces_way_saves_and_loads_the_same_bits(name, tmp_path, request):
    backbone = request.getfixturevalue(name)
    backbone = backbone if name == "tiny" else f"local-dir:{backbone}"
    model = e2.create_model_and_transforms(backbone, tags=("brand",))[0].eval()
    model.save_pretrained(tmp_path / "once")
    loaded = e2.E2.from_pretrained(tmp_path / "once")
    loaded.save_pretrained(tmp_path / "once")  # over itself
    loaded.save_pretrained(tmp_path / "twice")
    images = torch.randn(2, 3, 32, 32)
    again, _, tokenizer = e2.load(tmp_path / "twice")
    with torch.no_grad():
        assert torch.equal(again.encode_regions(images), model.encode_regions(images))
    assert torch.equal(tokenizer(["a red tee"]), e2.get_tokenizer(backbone)(["a red tee"]))


def test_saving_replaces_no_other_programs_configuration(model, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(e2.InputError, match="config.json is damaged or was not written"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "clip"}'


def test_loading_by_a_hub_name_stays_offline_unless_asked(monkeypatch):
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: asked.append((name, options)) or "/none")
    for options in ({}, {"local_files_only": False, "revision": "v1"}):
        with pytest.raises(e2.InputError, match="not an E2 checkpoint"):
            e2.E2.from_pretrained("shop/model", **options)
    assert [(name, options["local_files_only"]) for name, options in asked] == [("shop/model", True), ("shop/model", False)]
    assert asked[1][1]["revision"] == "v1"


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


def test_equal_weights_have_equal_hashes(tiny, tmp_path):
    model = e2.create_model_and_transforms(tiny, tags=("brand", "größe"))[0]
    model.made_from = {"backbone": 'a "quoted" \\ name\n'}
    for number in range(6):  # safetensors draws the order of the metadata
        (tmp_path / str(number)).mkdir()
        save_weights(model, tmp_path / str(number))
    assert len({weights_sha256(tmp_path / str(number)) for number in range(6)}) == 1
    weights = load_file(tmp_path / "0" / "model.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items() if name in weights)
    with safe_open(tmp_path / "0" / "model.safetensors", "pt") as file:
        assert (file.metadata()["backbone"], file.metadata()["tags"]) == ('a "quoted" \\ name\n', "brand,größe")


def test_the_hash_names_the_weights(folder):
    before = weights_sha256(folder)
    assert before == weights_sha256(folder) and len(before) == 64
    tensors = load_file(folder / "model.safetensors")
    tensors["logit_scale"] += 1
    save_file(tensors, folder / "model.safetensors")
    assert weights_sha256(folder) != before
