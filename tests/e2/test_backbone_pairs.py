"""Image and text towers of different backbones as one: where weights come from, what is fresh, what checkpoints keep."""

import contextlib
import io
import json
import logging
import shutil
from pathlib import Path

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import e2
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.export.push import without_paths
from e2.adapters.export.writing import export
from e2.backbones import create_backbone, create_tokenizer
from e2.checkpoint import tensors_sha256
from e2.config import OptimConfig
from e2.training.optim import freeze_towers, make_optimizer
from e2.training.run import start_run


@pytest.fixture
def images(tiny, siglip, timm_vits, tmp_path) -> dict[str, str]:
    """Image halves of every kind, with random weights in files."""
    torch.manual_seed(1)
    clip = open_clip.create_model(tiny)
    save_file(clip.state_dict(), tmp_path / "clip.safetensors")
    save_file({k: t for k, t in clip.state_dict().items() if k.startswith("visual.")}, tmp_path / "visual.safetensors")
    trunk = timm.create_model("vit_e2_tiny_cls", num_classes=7)
    (tmp_path / "trunk").mkdir()
    save_file(trunk.state_dict(), tmp_path / "trunk" / "model.safetensors")
    return {
        "a whole CLIP": f"{tiny}@{tmp_path / 'clip.safetensors'}",
        "an image tower": f"{tiny}@{tmp_path / 'visual.safetensors'}",
        "a timm tower": f"timm:vit_e2_tiny_cls@{tmp_path / 'trunk'}",
        "a SigLIP's folder": f"local-dir:{siglip}",
    }


@pytest.fixture
def texts(tiny, siglip, bert, images, tmp_path) -> dict[str, str]:
    """Text halves of every kind."""
    return {
        "a text encoder": f"transformers:{bert}",
        "a CLIP": f"{tiny}@{tmp_path / 'clip.safetensors'}",
        "a SigLIP's folder": f"local-dir:{siglip}",
    }


BERT_PROJECTION = {"text.proj.weight"}
PAIRS = {  # image half, text half -> width of the embedding, fresh parameters besides the scale
    ("a whole CLIP", "a text encoder"): (16, BERT_PROJECTION),
    ("an image tower", "a text encoder"): (16, BERT_PROJECTION),
    ("a timm tower", "a text encoder"): (512, {"visual.head.proj.weight", *BERT_PROJECTION}),
    ("a timm tower", "a CLIP"): (16, {"visual.head.proj.weight"}),
    ("a SigLIP's folder", "a text encoder"): (32, BERT_PROJECTION),
    ("a SigLIP's folder", "a CLIP"): (32, {"text.text_projection"}),
    ("an image tower", "a SigLIP's folder"): (16, {"text.text_projection.weight", "text.text_projection.bias"}),
}
each_pair = pytest.mark.parametrize(("image", "text"), PAIRS, ids=lambda half: half)


def photos(model) -> torch.Tensor:
    return torch.randn(2, 3, *model.visual.image_size, generator=torch.Generator().manual_seed(1))


def named(images: dict[str, str], texts: dict[str, str], image: str, text: str) -> str:
    return f"pair:{images[image]}+{texts[text]}"


def stored(siglip: Path, bert: Path, files: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Weights of each half as the pair should have them."""
    clip = load_file(files / "clip.safetensors")
    trunk = load_file(files / "trunk" / "model.safetensors")
    text = [name for name in clip if not name.startswith(("visual.", "logit_scale"))]
    return {
        "a whole CLIP": clip,
        "an image tower": clip,
        "a timm tower": {f"visual.trunk.{name}": t for name, t in trunk.items() if not name.startswith("head.")},
        "a SigLIP's folder": load_file(siglip / "open_clip_model.safetensors"),
        "a text encoder": {f"text.transformer.{k}": t for k, t in load_file(bert / "model.safetensors").items()},
        "a CLIP": {f"text.{name}": clip[name] for name in text},
    }


@each_pair
def test_each_half_brings_its_own_weights_and_what_they_lack_is_fresh(images, texts, siglip, bert, tmp_path, image, text):
    name = named(images, texts, image, text)
    clip, _ = create_backbone(name, force_image_size=32)
    width, fresh = PAIRS[image, text]
    assert set(clip.origin.fresh) == {*fresh, "logit_scale"} and clip.origin.pretrained
    assert clip.encode_image(photos(clip)).shape == (2, width)
    tokens = create_tokenizer(name)(["a red tee", "tee"])
    assert clip.encode_text(tokens).shape == (2, width) and not torch.equal(tokens[0], tokens[1])
    sources = stored(siglip, bert, tmp_path)
    expected = {k: t for k, t in sources[image].items() if k.startswith("visual.")}
    expected |= {k: t for k, t in sources[text].items() if k.startswith("text.")}
    ours = dict(clip.named_parameters())
    assert {*ours} == {k for k in ours if k in expected} - fresh | fresh | {"logit_scale"}
    for key in ours.keys() - {*fresh, "logit_scale"}:
        assert torch.equal(ours[key], expected[key]), key


def test_a_timm_tower_computes_what_timm_computes(images, texts):
    clip, _ = create_backbone(named(images, texts, "a timm tower", "a text encoder"), force_image_size=32)
    trunk = timm.create_model("vit_e2_tiny_cls", num_classes=7)
    trunk.load_state_dict(load_file(Path(images["a timm tower"].partition("@")[2]) / "model.safetensors"))
    x = photos(clip)
    pooled = trunk.eval().forward_head(trunk.forward_features(x), pre_logits=True)
    assert_close(clip.eval().encode_image(x), clip.visual.head(pooled))
    sized, preprocess = create_backbone(named(images, texts, "a timm tower", "a text encoder"))
    assert sized.visual.image_size == (224, 224) and sized.visual.trunk.patch_embed.grid_size == (28, 28)
    assert "(224, 224)" in str(preprocess)


def test_a_text_encoder_computes_what_transformers_computes(images, texts, bert):
    from transformers import BertModel

    name = named(images, texts, "an image tower", "a text encoder")
    clip, tokens = create_backbone(name)[0].eval(), create_tokenizer(name)(["a red tee", "tee"])
    assert tokens.shape == (2, 24)  # of at most 77 as many as the encoder has positions
    mask = (tokens != 0).long()
    states = BertModel.from_pretrained(bert)(input_ids=tokens, attention_mask=mask).last_hidden_state
    mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    assert_close(clip.encode_text(tokens), clip.text.proj(mean))
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    by_class = create_backbone(name)[0].eval()
    assert_close(by_class.encode_text(tokens), by_class.text.proj(states[:, 0]))


@pytest.mark.parametrize("attention", ["apart", "one-way"])
@pytest.mark.parametrize("model", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_e2_tiny_mean"])
def test_the_reader_sees_dinov2_and_starts_from_its_embedding(timm_vits, bert, model, attention):
    name = f"pair:timm:{model}+transformers:{bert}"
    ours = e2.create_model_and_transforms(name, tags=("brand", "season"), image_size=56, attention=attention)[0].eval()
    x = photos(ours)
    with torch.no_grad():
        assert_close(ours.encode_image(x), ours.clip.encode_image(x), atol=1e-5, rtol=0)
        assert ours.encode_regions(x).shape == (2, 2, 512)
    ours.encode_image(x).sum().backward()


# --- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "text"), list(PAIRS)[1:4], ids=lambda half: half)
def test_a_pair_trains_and_its_checkpoint_needs_nothing_else(images, texts, siglip, bert, shop, tmp_path, image, text):
    name = named(images, texts, image, text)
    options = {"data.data": str(shop), "data.tags": "brand,season", "backbone": name, "steps": 3, "image_size": 32}
    start_run(tmp_path / "run", {**options, "data.batch_size": 12, "data.workers": 0, "device": "cpu"})
    torch.manual_seed(0)
    start = create_backbone(name, force_image_size=32)[0].state_dict()
    tokens = create_tokenizer(name)(["a red tee", "tee"])
    for path in (bert, tmp_path / "trunk"):
        shutil.rmtree(path)
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    trained, _, tokenizer = e2.load(tmp_path / "run")
    assert torch.equal(tokenizer(["a red tee", "tee"]), tokens)
    for key, p in trained.clip.named_parameters():
        moved = (p - start[key]).abs().max()
        assert moved < 2e-3 if key in PAIRS[image, text][1] | {"logit_scale"} else moved < 1e-4, key
    fresh = next(iter(PAIRS[image, text][1]))
    assert (trained.clip.state_dict()[fresh] - start[fresh]).abs().max() > 1e-4  # 5e-4 a step at most, not 2e-5
    encoder = load_encoder(tmp_path / "run", device="cpu", workers=0)
    assert encoder.encode_texts(["a red tee", "tee"]).shape == (2, PAIRS[image, text][0])


@each_pair
def test_what_is_fresh_learns_like_what_is_new(images, texts, image, text):
    model = e2.create_model_and_transforms(named(images, texts, image, text), tags=("brand",), image_size=32)[0]
    optimizer = make_optimizer(model, OptimConfig(), pretrained=True)
    ages = {id(p): group["age"] for group in optimizer.param_groups for p in group["params"]}
    new = {name for name, p in model.named_parameters() if ages[id(p)] == "new" and not name.startswith("reader.")}
    assert new == {*PAIRS[image, text][1], "logit_scale"}


LOCKED = {  # free parameters, besides the scale, of frozen towers, and with one group of layers left to each
    ("an image tower", "a text encoder"): (
        {"text.proj"},
        {"text.proj", "text.transformer.encoder.layer.1", "visual.proj"},
    ),
    ("a timm tower", "a text encoder"): (
        {"text.proj", "visual.head.proj"},
        {"text.proj", "text.transformer.encoder.layer.1", "visual.head.proj", "visual.trunk.norm", "visual.trunk.blocks.3"},
    ),
    ("a SigLIP's folder", "a CLIP"): (
        {"text.text_projection"},
        {"text.text_projection", "visual.trunk.attn_pool"},
    ),
    ("a timm tower", "a CLIP"): (
        {"visual.head.proj"},
        {"text.text_projection", "visual.head.proj", "visual.trunk.norm", "visual.trunk.blocks.3"},
    ),
}


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize(("image", "text"), LOCKED, ids=lambda half: half)
def test_frozen_towers_leave_their_fresh_projections_free(images, texts, image, text, layers):
    model = e2.create_model_and_transforms(named(images, texts, image, text), image_size=32)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        freeze_towers(model, OptimConfig(image_layers=layers, text_layers=layers))
    free = {name for name, p in model.named_parameters() if p.requires_grad} - {"logit_scale"}
    expected = LOCKED[image, text][layers]
    assert {name for name in free if not name.startswith(tuple(expected))} == set()
    assert {part for part in expected if not any(name.startswith(part) for name in free)} == set()
    assert printed.getvalue() == ""


# --- one folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "text"), list(PAIRS)[1:4], ids=lambda half: half)
def test_a_pair_is_saved_as_one_open_clip_folder_that_still_knows_what_is_fresh(images, texts, bert, tmp_path, image, text):
    name = named(images, texts, image, text)
    model, _, preprocess = e2.create_model_and_transforms(name, image_size=32)
    info = {"path": name, "weights_sha256": tensors_sha256(model.clip.state_dict()), "backbone": name, "method": "open_clip"}
    encoder = Encoder(model, preprocess, e2.get_tokenizer(name), info, device="cpu", workers=0)
    export(encoder, tmp_path / "out", "open_clip")
    shutil.rmtree(bert)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    for file in moved.glob("*.json"):
        assert str(tmp_path) not in file.read_text(), file
    again = create_backbone(f"local-dir:{moved}")[0]
    assert again.origin.fresh == encoder.model.clip.origin.fresh
    words = ["a red tee", "tee"]
    loaded = load_encoder(f"local-dir:{moved}", device="cpu", workers=0)
    assert_close(loaded.encode_texts(words), encoder.encode_texts(words))
    assert loaded.info["weights_sha256"] == encoder.info["weights_sha256"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("pair:ViT-B-16@/srv/a/b.safetensors+transformers:/srv/minilm", "pair:ViT-B-16@b.safetensors+transformers:minilm"),
        ("local-dir:/srv/a+b/clip", "local-dir:clip"),
        ("/srv/a/clip", "clip"),
        ("hf-hub:shop/clip", "hf-hub:shop/clip"),
        ("http://shop/clip", "http://shop/clip"),
    ],
)
def test_what_is_pushed_names_no_folder_of_its_author(value, shown):
    assert without_paths({"backbone": [value]}) == {"backbone": [shown]}


def test_a_timm_tower_at_another_size_than_timms_is_no_open_clip_folder(images, texts, tmp_path):
    encoder = load_encoder(named(images, texts, "a timm tower", "a text encoder"), device="cpu", workers=0)
    with pytest.raises(e2.InputError, match="at 32 x 32 pixels only, and this model sees 224 x 224; use --format onnx"):
        export(encoder, tmp_path / "out", "open_clip")
    assert not (tmp_path / "out").exists()


# --- notes and errors -----------------------------------------------------------------------------------------------


def test_a_tower_without_weights_beside_one_with_some_is_told(images, texts, tiny, capsys):
    from e2.notes import note

    note.cache_clear()
    clip, _ = create_backbone(f"pair:{tiny}+{texts['a text encoder']}")
    assert f"the image tower {tiny} has random weights" in capsys.readouterr().err
    assert "visual.conv1.weight" in clip.origin.fresh and "text.proj.weight" in clip.origin.fresh
    assert not create_backbone(f"pair:{tiny}+{tiny}")[0].origin.pretrained
    assert "random" not in capsys.readouterr().err


def test_transformers_and_timm_say_nothing(images, texts, capfd, caplog):
    caplog.set_level(logging.INFO)
    create_backbone(named(images, texts, "an image tower", "a text encoder"))
    assert capfd.readouterr() == ("", "")


WRONG = {
    "pair:ViT-B-32": "names no image and text tower",
    "pair:ViT-B-32+": "names no image and text tower",
    "pair:a+b+c": "with one + in all",
    "pair:pair:{tiny}+{tiny}": "names no image and text tower",
    "pair:timm:vit_smal_patch14_dinov2+{tiny}": "timm has no image tower 'vit_smal_patch14_dinov2'; choose for example vit",
    "pair:timm:vit_small_patch14_dinov2.lvd+{tiny}": "timm has no weights 'lvd' of vit_small_patch14_dinov2; tags: lvd142m",
    "pair:timm:vit_small_patch14_dinov2.lvd142m+{tiny}": "timm has no weights for vit_small_patch14_dinov2.lvd142m",
    "pair:timm:vit_e2_tiny_cls@{files}/clip.safetensors+{tiny}": "has no weights for vit_e2_tiny_cls",
    "pair:timm:vit_e2_tiny_cls@{files}/nowhere+{tiny}": "nowhere",
    "pair:{tiny}+timm:vit_e2_tiny": "is image tower only, and named as the text tower",
    "pair:transformers:{bert}+{tiny}": "is text tower only, and named as the image tower",
    "pair:{tiny}+transformers:{files}/trunk": "holds no CLIP or SigLIP of transformers",
    "pair:{tiny}+{tiny}@{files}/visual.safetensors": "holds no text tower of open_clip",
    "pair:{tiny}+nothing": "unknown backbone 'nothing'",
    "pair:ViT-B-32-quickgelu+ViT-B-32": "one tower uses QuickGELU, the other GELU",
    "pair:{tiny}@webli+{tiny}": "neither a file nor a weights tag",
    "pair:e2-tiny@{files}/visual.safetensors+transformers:{bert}": "does not fit the backbone",
    "pair:{tiny}+hf-hub:nobody/nothing": "nobody/nothing",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_paired_is_one_clear_line(images, bert, tiny, tmp_path, monkeypatch, name):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(e2.InputError) as error:
        create_backbone(name.format(tiny=tiny, bert=bert, files=tmp_path))
    assert WRONG[name] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["a tensor missing", "another type", "cut weights", "no tokenizer"])
def test_damaged_text_encoders_are_one_clear_line(images, texts, bert, damage):
    weights, config = bert / "model.safetensors", json.loads((bert / "config.json").read_text())
    if damage == "a tensor missing":
        save_file({k: t for k, t in load_file(weights).items() if "layer.1.output" not in k}, weights, {"format": "pt"})
    elif damage == "another type":
        (bert / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    elif damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:999])
    else:
        for file in bert.glob("*token*"):
            file.unlink()
    name = named(images, texts, "an image tower", "a text encoder")
    with pytest.raises(e2.InputError) as error:
        create_backbone(name)
        create_tokenizer(name)
    assert str(bert) in str(error.value) and "\n" not in str(error.value)


def test_a_tower_that_is_no_vit_is_refused_by_the_reader_in_one_line(bert):
    with pytest.raises(e2.InputError, match="ResNet of timm is not supported"):
        e2.create_model_and_transforms(f"pair:timm:resnet10t+transformers:{bert}", tags=("brand",))
