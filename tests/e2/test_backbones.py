"""Where backbones come from: files, folders, the hub's cache, transformers; what is refused; what a checkpoint keeps."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

import e2
from e2 import hf_weights
from e2.adapters.encoder import load_encoder
from e2.adapters.export.writing import export, load_exported
from e2.backbones import create_backbone, create_tokenizer
from e2.towers import open_tower
from e2.training.run import start_run
from tests.conftest import TINY, bert_config, bert_tokenizer

CLIP_VOCABULARY = 49408


def photos(size: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def ids(vocabulary: int, length: int) -> torch.Tensor:
    return torch.randint(3, vocabulary, (4, length), generator=torch.Generator().manual_seed(2))


# --- transformers ---------------------------------------------------------------------------------------------------


def clip_of_transformers(folder: Path, *, vocabulary: int = 120, act: str = "quick_gelu", eos: int = 2, eps: float = 1e-5):
    """A random CLIPModel, saved; no parameter is zero or one by initialisation."""
    from transformers import CLIPConfig, CLIPModel

    common = {"hidden_act": act, "layer_norm_eps": eps, "num_attention_heads": 2}
    config = CLIPConfig(
        projection_dim=16,
        vision_config={**common, "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3}
        | {"image_size": 32, "patch_size": 8},
        text_config={**common, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2}
        | {"vocab_size": vocabulary, "max_position_embeddings": 12, "eos_token_id": eos, "bos_token_id": 0, "pad_token_id": 1},
    )
    return saved(CLIPModel(config), folder)


def siglip_of_transformers(folder: Path, *, act: str = "gelu"):
    from transformers import SiglipConfig, SiglipModel

    common = {"hidden_act": act, "hidden_size": 32, "intermediate_size": 128, "num_attention_heads": 2}
    config = SiglipConfig(
        vision_config={**common, "num_hidden_layers": 4, "image_size": 48, "patch_size": 8},
        text_config={**common, "num_hidden_layers": 2, "vocab_size": 80, "max_position_embeddings": 16},
    )
    return saved(SiglipModel(config), folder)


def saved(model, folder: Path):
    torch.manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    model.eval().save_pretrained(folder)
    return model


def features_of(model, images: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' features, not normalised."""
    with torch.no_grad():
        image = model.vision_model(images).pooler_output
        text = model.text_model(input_ids=tokens).pooler_output
        if hasattr(model, "visual_projection"):
            return model.visual_projection(image), model.text_projection(text)
        return image, text


def test_a_model_of_sentence_transformers_is_the_clip_in_it(tmp_path):
    clip_of_transformers(tmp_path / "clip-ViT-B-32" / "0_CLIPModel", vocabulary=49408)
    model = tmp_path / "clip-ViT-B-32"
    (model / "modules.json").write_text('[{"idx": 0, "name": "0", "path": "0_CLIPModel"}]')
    inside = load_encoder(f"transformers:{model / '0_CLIPModel'}", device="cpu").encode_texts(["a red tee"], progress=False)
    for name in (f"transformers:{model}", str(model)):
        assert (load_encoder(name, device="cpu").encode_texts(["a red tee"], progress=False) == inside).all()


@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_pytorch_tanh"])
@pytest.mark.parametrize("eos", [2, 77])
def test_transformers_clip_gives_the_same_features_in_open_clip(tmp_path, act, eos):
    theirs = clip_of_transformers(tmp_path, act=act, eos=eos, eps=1e-4)
    ours, _ = create_backbone(f"transformers:{tmp_path}")
    tokens = ids(120, 12)
    tokens[:, [4, 7]] = 77  # the first one is the end of the text; ids above it stand elsewhere
    image, text = features_of(theirs, photos(), tokens)
    with torch.no_grad():
        assert_close(ours.encode_image(photos()), image, atol=1e-5, rtol=1e-5)
        assert_close(ours.encode_text(tokens), text, atol=1e-5, rtol=1e-5)
        assert_close(ours.logit_scale, theirs.logit_scale)
    assert ours.origin.pretrained


@pytest.mark.parametrize(("act", "tolerance"), [("gelu", 1e-5), ("gelu_pytorch_tanh", 1e-2)])
def test_transformers_siglip_gives_the_same_features_in_open_clip(tmp_path, timm_vits, monkeypatch, act, tolerance):
    monkeypatch.setitem(hf_weights.SIGLIP_TRUNKS, (32, 4, 8), "vit_e2_tiny")
    theirs = siglip_of_transformers(tmp_path, act=act)
    ours, _ = create_backbone(f"transformers:{tmp_path}")
    image, text = features_of(theirs, photos(48), ids(80, 16))
    with torch.no_grad():
        assert_close(ours.encode_image(photos(48)), image, atol=tolerance, rtol=tolerance)
        assert_close(ours.encode_text(ids(80, 16)), text, atol=1e-5, rtol=1e-5)
    assert_close(ours.logit_bias, theirs.logit_bias.reshape(()))
    seen = ours.visual.preprocess_cfg
    assert tuple(seen["mean"]) == (0.5, 0.5, 0.5) and seen["resize_mode"] == "squash"
    assert open_tower(ours.visual).grid == (6, 6)  # at the checkpoint's size, whatever timm's name says


def test_transformers_weights_are_found_as_folder_and_as_file_and_bring_their_activation(tmp_path, tiny):
    config = {**TINY, "embed_dim": 16, "vision_cfg": {**TINY["vision_cfg"], "layers": 3, "mlp_ratio": 3.0}}
    config["text_cfg"] = {**TINY["text_cfg"], "width": 24, "context_length": 12, "vocab_size": 120, "mlp_ratio": 2.0}
    (tmp_path / "test-hf.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "test-hf.json")
    theirs = clip_of_transformers(tmp_path / "clip", act="quick_gelu")
    image, _ = features_of(theirs, photos(), ids(120, 12))
    for pretrained in (tmp_path / "clip", tmp_path / "clip" / "model.safetensors"):
        model = e2.create_model_and_transforms("test-hf", str(pretrained), tags=("brand",))[0].eval()
        assert_close(model.encode_image(photos()).detach(), image, atol=1e-5, rtol=1e-5)
        assert model.clip.origin.config["quick_gelu"]


def test_transformers_shards_image_processor_and_other_sizes(tmp_path):
    theirs = clip_of_transformers(tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2 and len(whole) > 50
    processor = {"image_mean": [0.1, 0.2, 0.3], "resample": 2, "do_center_crop": False, "size": {"height": 32, "width": 32}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    model, preprocess = create_backbone(f"transformers:{tmp_path}")
    assert_close(model.encode_image(photos()), features_of(theirs, photos(), ids(120, 12))[0], atol=1e-5, rtol=1e-5)
    assert "0.1, 0.2, 0.3" in str(preprocess)
    assert model.visual.preprocess_cfg["interpolation"] == "bilinear"
    assert model.visual.preprocess_cfg["resize_mode"] == "squash"
    tall, _ = create_backbone(f"transformers:{tmp_path}", force_image_size=(48, 32))
    assert tall.visual.grid_size == (6, 4)


@pytest.mark.parametrize("kind", ["missing", "extra", "no weights", "activation", "other model", "damaged"])
def test_transformers_checkpoints_that_do_not_fit_are_refused_in_one_line(tmp_path, kind):
    clip_of_transformers(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    tensors, content = load_file(weights), json.loads(config.read_text())
    if kind == "missing":
        save_file({k: t for k, t in tensors.items() if "layers.1.mlp.fc2" not in k}, weights)
    elif kind == "extra":
        save_file({**tensors, "lora_A": torch.ones(1)}, weights)
    elif kind == "no weights":
        weights.unlink()
    elif kind == "activation":
        content["vision_config"]["hidden_act"] = "gelu"
    elif kind == "other model":
        content["model_type"] = "blip"
    else:
        weights.write_bytes(weights.read_bytes()[:1000])
    config.write_text(json.dumps(content))
    with pytest.raises(e2.InputError) as error:
        create_backbone(f"transformers:{tmp_path}")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", [None, "CLIP", "state_dict", "model", "module."])
def test_weights_in_the_wrappers_of_training_programs(tiny, tmp_path, wrapper):
    start = create_backbone(tiny)[0]
    state = start.state_dict()
    if wrapper == "module.":
        state = {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}, "epoch": 3}
    elif wrapper:
        state = {wrapper: state, "epoch": 3, "name": "OpenFashionCLIP"}
    torch.save(state, tmp_path / "weights.pt")
    loaded = create_backbone(tiny, str(tmp_path / "weights.pt"))[0]
    for name, tensor in start.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


class Stranger:
    pass


def test_foreign_pickles_damage_and_misfits_are_refused_in_one_line(tiny, tmp_path):
    state = create_backbone(tiny)[0].state_dict()
    files = {
        "more than tensors": lambda path: torch.save({"state_dict": state, "args": Stranger()}, path),
        "damaged or no weights file": lambda path: path.write_bytes(b"PK\x03\x04 cut"),
        "no state dict of tensors": lambda path: torch.save({"epoch": 3}, path),
        "does not fit the backbone": lambda path: torch.save({**state, "stranger": torch.ones(1)}, path),
        "not a square grid": lambda path: torch.save({**state, "visual.positional_embedding": torch.ones(8, 32)}, path),
    }
    for message, write in files.items():
        write(tmp_path / "weights.pt")
        with pytest.raises(e2.InputError, match=message) as error:
            create_backbone(tiny, str(tmp_path / "weights.pt"))
        assert "\n" not in str(error.value)
    with pytest.raises(e2.InputError, match="holds no weights"):
        (tmp_path / "empty").mkdir()
        create_backbone(tiny, str(tmp_path / "empty"))


def test_an_earlier_run_is_a_start_at_its_own_and_at_another_size(tiny, tmp_path):
    torch.manual_seed(3)
    first = e2.create_model_and_transforms(tiny, tags=("brand",), image_size=(64, 16))[0]  # 8 x 2 patches: as many as 4 x 4
    e2.checkpoint.save_weights(first, tmp_path)
    e2.checkpoint.save_config(tmp_path, backbone=tiny, model=first, method="e2", training={})
    assert "backbone_config" in json.loads((tmp_path / "config.json").read_text())
    again = e2.create_model_and_transforms(tiny, str(tmp_path), tags=("season",), image_size=(64, 16))[0]
    assert torch.equal(again.visual.positional_embedding, first.visual.positional_embedding)
    square = e2.create_model_and_transforms(tiny, str(tmp_path))[0]
    grid = first.visual.positional_embedding[1:].detach().T.reshape(1, 32, 8, 2)
    expected = torch.nn.functional.interpolate(grid, (4, 4), mode="bicubic", antialias=True)
    assert_close(square.visual.positional_embedding[1:].detach(), expected.reshape(32, 16).T)
    reloaded, preprocess, _ = e2.load(tmp_path)
    assert reloaded.visual.grid_size == (8, 2) and "(64, 16)" in str(preprocess)


def test_weights_of_another_architecture_than_the_named_one_are_refused(tiny, tmp_path, siglip):
    clip_of_transformers(tmp_path)
    with pytest.raises(e2.InputError, match="than test-tiny: vision_cfg.layers, text_cfg.width, text_cfg.v"):
        create_backbone(tiny, str(tmp_path))
    with pytest.raises(e2.InputError, match="vision_cfg.timm_model_name"):
        create_backbone("ViT-B-16-SigLIP-256", str(siglip))


def test_a_tag_trained_with_quick_gelu_brings_it(monkeypatch, tmp_path):
    """open_clip only warns that ``ViT-B-32`` and OpenAI's weights do not belong together."""
    seen = {}

    def create(name, pretrained, **options):
        seen.update(name=name, pretrained=pretrained, **options)
        raise RuntimeError("enough")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", create)
    for tag, expected in (("openai", True), ("laion2b_s34b_b79k", None)):
        seen.clear()
        with pytest.raises(e2.InputError, match="enough"):
            create_backbone("ViT-B-32", tag)
        assert seen.get("force_quick_gelu") == expected and seen["pretrained"] == tag


def test_weights_of_siglip_from_a_file_are_seen_through_siglips_preprocessing():
    from e2.backbone_sources import usual_preprocessing

    usual = usual_preprocessing("ViT-B-16-SigLIP")
    assert usual == {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "squash"}


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_local_folder_is_a_backbone_with_tokenizer_and_preprocessing(siglip):
    model, _, preprocess = e2.create_model_and_transforms(f"local-dir:{siglip}", tags=("brand", "season"))
    plain = open_clip.create_model(f"local-dir:{siglip}")
    with torch.no_grad():
        assert_close(model.eval().encode_image(photos()), plain.eval().encode_image(photos()), atol=1e-5, rtol=0)
    tokens = e2.get_tokenizer(f"local-dir:{siglip}")(["A red tee, of silk!", "coat"])
    assert tokens.shape == (2, 16) and tokens[0, 0] != tokens[1, 0]
    assert_close(model.encode_text(tokens), plain.encode_text(tokens))
    assert "mean=(0.5, 0.5, 0.5)" in str(preprocess) or "mean=[0.5, 0.5, 0.5]" in str(preprocess)
    assert model.clip.origin.pretrained


@pytest.mark.parametrize("damage", ["cut weights", "foreign pickle", "config cut", "config of another kind"])
def test_damaged_local_folders_are_one_clear_line(siglip, tmp_path, damage):
    folder = shutil.copytree(siglip, tmp_path / "copy")
    weights, config = folder / "open_clip_model.safetensors", folder / "open_clip_config.json"
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:999])
    elif damage == "foreign pickle":
        weights.unlink()
        torch.save({"state_dict": {}, "args": Stranger()}, folder / "open_clip_pytorch_model.bin")
    else:
        config.write_text('{"model_cfg": {"vision_cfg": ' if damage == "config cut" else '{"model_cfg": {"vision_cfg": 3}}')
    with pytest.raises(e2.InputError) as error:
        create_backbone(f"local-dir:{folder}")
    assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_weights_of_a_named_backbone_bring_their_tokenizer(siglip):
    tokenizer = create_tokenizer("ViT-B-16-SigLIP", str(siglip))
    assert torch.equal(tokenizer(["red"])[:, :16], e2.get_tokenizer(f"local-dir:{siglip}")(["red"]))


@pytest.fixture
def offline_cache(tmp_path, monkeypatch):
    """An empty hub cache without network; returns a function that puts a folder into it as a repository."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def add(name: str, folder: Path) -> str:
        home = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
        shutil.copytree(folder, home / "snapshots" / "abc")
        (home / "refs").mkdir()
        (home / "refs" / "main").write_text("abc")
        return f"hf-hub:{name}"

    return add


def test_the_hubs_cache_serves_open_clip_models_offline(offline_cache, siglip, tmp_path):
    copy = shutil.copytree(siglip, tmp_path / "copy")
    config = json.loads((copy / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = str(siglip)  # the hub's models name another repository
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    encoder = load_encoder(offline_cache("shop/siglip", copy), device="cpu", workers=0)
    local = load_encoder(f"local-dir:{siglip}", device="cpu", workers=0)
    assert encoder.info["weights"] == "hf-hub:shop/siglip"
    assert encoder.info["weights_sha256"] == local.info["weights_sha256"]
    assert (encoder.encode_texts(["a red tee", "coat"]) == local.encode_texts(["a red tee", "coat"])).all()


def test_the_hubs_cache_serves_transformers_models_offline(offline_cache, tmp_path):
    theirs = clip_of_transformers(tmp_path / "clip", vocabulary=CLIP_VOCABULARY, eos=49407)
    encoder = load_encoder(offline_cache("shop/fashion-clip", tmp_path / "clip"), device="cpu", workers=0)
    tokens = encoder.tokenizer(["a red tee", "coat"])
    assert tokens.shape == (2, 12)
    text = torch.nn.functional.normalize(features_of(theirs, photos(), tokens)[1], dim=-1)
    assert_close(torch.from_numpy(encoder.encode_texts(["a red tee", "coat"])), text, atol=1e-5, rtol=1e-5)
    folder = load_encoder(tmp_path / "clip", device="cpu", workers=0)  # a mere path does as well
    assert folder.info["weights_sha256"] == encoder.info["weights_sha256"]


def test_a_repository_without_weights_is_no_random_model(offline_cache, siglip, tmp_path):
    copy = shutil.copytree(siglip, tmp_path / "copy")
    (copy / "open_clip_model.safetensors").unlink()
    with pytest.raises(e2.InputError, match="cannot get backbone hf-hub:shop/empty"):
        create_backbone(offline_cache("shop/empty", copy))


@pytest.mark.parametrize("name", ["hf-hub:nobody/nothing", "local-dir:/nowhere", "transformers:/nowhere", "s3:bucket"])
def test_places_that_hold_nothing_are_one_clear_line(offline_cache, name):
    for use in (create_backbone, create_tokenizer, load_encoder):
        with pytest.raises(e2.InputError) as error:
            use(name)
        assert name.split(":")[1] in str(error.value) and "\n" not in str(error.value)


def test_a_tokenizer_out_of_reach_is_one_clear_line(offline_cache):
    with pytest.raises(e2.InputError, match="cannot get the tokenizer of ViT-B-16-SigLIP") as error:
        create_tokenizer("ViT-B-16-SigLIP")
    assert "\n" not in str(error.value)


def test_a_place_and_weights_beside_it_contradict_each_other(siglip):
    with pytest.raises(e2.InputError, match="brings its own weights"):
        create_backbone(f"local-dir:{siglip}", "openai")


# --- training and afterwards ----------------------------------------------------------------------------------------


def test_a_siglip_trains_and_its_checkpoint_needs_nothing_else(siglip, shop, tmp_path):
    source = shutil.copytree(siglip, tmp_path / "source")
    options = {"data.data": str(shop), "data.tags": "brand,season", "backbone": f"local-dir:{source}", "steps": 3}
    options |= {"data.batch_size": 12, "data.workers": 0, "device": "cpu", "image_size": [48, 32]}
    start_run(tmp_path / "run", options)
    start = load_file(source / "open_clip_model.safetensors")
    rates = json.loads((tmp_path / "run" / "config.json").read_text())["training"]["optim"]
    assert rates["lr"] is None
    shutil.rmtree(source)

    model, preprocess, tokenizer = e2.load(tmp_path / "run")
    tokens = tokenizer(["a red tee", "coat"])
    assert tokens.shape == (2, 16)
    assert torch.equal(tokens, create_tokenizer(f"local-dir:{siglip}")(["a red tee", "coat"]))
    assert model.visual.preprocess_cfg["size"] == (48, 32) and "(48, 32)" in str(preprocess)
    moved = (model.clip.text.token_embedding.weight - start["text.token_embedding.weight"]).abs().max()
    assert 0 < moved < 1e-3  # at the pace for pre-trained weights, which these are
    encoder = load_encoder(tmp_path / "run", device="cpu", workers=0)
    assert encoder.encode_texts(["a red tee", "coat"]).shape == (2, 32)
    assert model.selections(torch.zeros(1, 3, 48, 32))["brand"][3].shape == (1, 2, 6, 4)


@pytest.mark.parametrize("config", [7, ["x"], {"vision_cfg": 1}, {"vision_cfg": {}, "text_cfg": {}}, {"embed_dim": "x"}])
def test_a_damaged_architecture_in_a_checkpoint_is_one_clear_line(tiny, tmp_path, config):
    model = e2.create_model_and_transforms(tiny)[0]
    e2.checkpoint.save_weights(model, tmp_path)
    e2.checkpoint.save_config(tmp_path, backbone=tiny, model=model, method="clip", training={})
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, "backbone_config": config}))
    for use in (e2.load, lambda folder: create_backbone(tiny, str(folder))):
        with pytest.raises(e2.InputError) as error:
            use(tmp_path)
        assert "\n" not in str(error.value)


def test_checkpoints_of_version_0_1_are_built_by_their_backbones_name(tiny, tmp_path):
    model = e2.create_model_and_transforms(tiny, tags=("brand",))[0].eval()
    e2.checkpoint.save_weights(model, tmp_path)
    e2.checkpoint.save_config(tmp_path, backbone=tiny, model=model, method="e2", training={})
    content = json.loads((tmp_path / "config.json").read_text())
    del content["backbone_config"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert torch.equal(e2.load(tmp_path)[0].encode_image(photos()), model.encode_image(photos()))


def test_position_tables_of_timm_towers_do_not_decay(siglip):
    from e2.training.optim import undecayed

    model = e2.create_model_and_transforms(f"local-dir:{siglip}", tags=("brand",))[0]
    flat = undecayed(model)
    assert id(model.visual.trunk.pos_embed) in flat and id(model.visual.trunk.attn_pool.latent) in flat
    assert id(model.visual.trunk.blocks[0].attn.qkv.weight) not in flat


# --- text towers of transformers ------------------------------------------------------------------------------------


@pytest.fixture
def hf_text(tmp_path):
    """Folders of an open_clip model and of the BERT that is its text tower; makes the first by where the tokenizer lies."""
    bert, folder = tmp_path / "bert", tmp_path / "model"
    folder.mkdir()
    bert_config().save_pretrained(bert)
    tokenizer = bert_tokenizer()

    def make(beside: str, named: str) -> Path:
        tokenizer.save_pretrained(folder if beside == "the model" else bert)
        text = {"hf_model_name": named.format(bert=bert), "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"}
        text |= {"hf_model_pretrained": False, "context_length": 12}
        if beside == "the model":
            text["hf_tokenizer_name"] = named.format(bert=bert)
        model = {"embed_dim": 16, "vision_cfg": TINY["vision_cfg"], "text_cfg": text}
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model}))
        torch.manual_seed(0)
        clip = open_clip.CustomTextCLIP(**{**model, "text_cfg": {**text, "hf_model_name": str(bert)}})
        save_file(
            {name: tensor.contiguous() for name, tensor in clip.state_dict().items()}, folder / "open_clip_model.safetensors"
        )
        return folder

    return make


@pytest.mark.parametrize(
    ("beside", "named"),
    [("the model", "{bert}"), ("hf_model_name", "{bert}"), ("the model", "../bert")],
    ids=["tokenizer beside the model", "tokenizer beside hf_model_name", "named by a relative path"],
)
def test_a_text_tower_of_transformers_loads_trains_and_needs_nothing_else(hf_text, shop, tmp_path, monkeypatch, beside, named):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name = f"local-dir:{hf_text(beside, named)}"
    tokenizer = e2.get_tokenizer(name)
    assert tokenizer(["A red tee"]).tolist() == [[2, 5, 6, 7, 3, *[0] * 7]]
    model = e2.create_model_and_transforms(name, tags=("brand",))[0].eval()
    assert model.clip.origin.pretrained
    kept = load_file(tmp_path / "model" / "open_clip_model.safetensors")
    assert torch.equal(model.clip.state_dict()["text.proj.weight"], kept["text.proj.weight"])
    options = {"data.data": str(shop), "data.tags": "brand,season", "backbone": name, "steps": 2, "device": "cpu"}
    start_run(tmp_path / "run", {**options, "data.batch_size": 12, "data.workers": 0})
    for gone in ("model", "bert"):
        shutil.rmtree(tmp_path / gone)
    encoder = load_encoder(tmp_path / "run", device="cpu", workers=0)
    assert torch.equal(encoder.tokenizer(["A red tee"]), tokenizer(["A red tee"]))
    assert encoder.encode_texts(["a red tee", "tee"]).shape == (2, 16)


@pytest.mark.parametrize("format", ["open_clip", "transformers", "onnx"])
def test_an_export_of_a_text_tower_of_transformers_works_wherever_it_is_moved(hf_text, tmp_path, monkeypatch, format):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = load_encoder(f"local-dir:{hf_text('the model', '{bert}')}", device="cpu", workers=0)
    export(encoder, tmp_path / "out", format)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    for gone in ("model", "bert"):
        shutil.rmtree(tmp_path / gone)
    texts = ["a red tee", "tee"]
    (exported,) = load_exported(moved, workers=0)
    assert torch.equal(exported.tokenizer(texts), encoder.tokenizer(texts))
    np.testing.assert_allclose(exported.encode_texts(texts), encoder.encode_texts(texts), atol=1e-5)
    for file in moved.glob("*.json"):
        assert str(tmp_path) not in file.read_text(), file
    if format == "open_clip":
        monkeypatch.chdir(moved)  # as its README says
        theirs, tokenizer = open_clip.create_model("local-dir:.").eval(), open_clip.get_tokenizer("local-dir:.")
        with torch.no_grad():
            vectors = theirs.encode_text(tokenizer(texts), normalize=True)
        np.testing.assert_allclose(vectors, encoder.encode_texts(texts), atol=1e-5)


def test_clips_own_tokenizer_is_built_once_for_each_set_of_options():
    first, second = e2.get_tokenizer("ViT-B-32"), e2.get_tokenizer("ViT-B-16")
    assert first is second and first.context_length == 77
    longer = create_tokenizer("ViT-B-32", config={"text_cfg": {"context_length": 20}})
    assert longer is not first and longer(["a tee"]).shape == (1, 20) and first(["a tee"]).shape == (1, 77)
