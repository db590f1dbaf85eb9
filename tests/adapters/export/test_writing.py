"""Exports, read back by the programs that they are for, give PyTorch's embeddings."""

import json
import os
import re
import shutil
import sys

import numpy as np
import onnx
import open_clip
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from e2.adapters.export import int8
from e2.adapters.export.checks import largest_deviation
from e2.adapters.export.clip_model import maps_onto_clip_model
from e2.adapters.export.writing import export, load_exported
from e2.errors import InputError
from tests.adapters.export.conftest import encoder_of
from tests.command import run_command
from tests.conftest import TAGS

TEXTS = ["a red tee", "Levi's coat, 100% wool " * 30, "grey"]


def photos(count=3):
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 255, (50, 40, 3), dtype=np.uint8)) for _ in range(count)]


def assert_same_vectors(ours, theirs, **tolerance):
    assert_allclose(theirs.encode_images(photos(), progress=False), ours.encode_images(photos(), progress=False), **tolerance)
    assert_allclose(theirs.encode_texts(TEXTS, progress=False), ours.encode_texts(TEXTS, progress=False), **tolerance)


def test_onnx_gives_pytorchs_vectors(onnx_folder, e2_checkpoint):
    encoder = encoder_of(e2_checkpoint)
    exact, small = load_exported(onnx_folder, workers=0)
    assert exact.tags == TAGS
    assert_same_vectors(encoder, exact, atol=1e-5)
    ours, theirs = encoder.encode_images_and_regions(photos()), exact.encode_images_and_regions(photos())
    assert_allclose(theirs[0], ours[0], atol=1e-5)
    assert_allclose(theirs[1], ours[1], atol=1e-5)
    near = [encoder.encode_texts(TEXTS) * small.encode_texts(TEXTS)]
    near += [a * b for a, b in zip(ours, small.encode_images_and_regions(photos()), strict=True)]
    for cosines in (products.sum(axis=-1) for products in near):
        assert cosines.min() > 0.95 and cosines.max() < 1 - 1e-7  # near, and really something else


def test_onnx_graphs_are_smaller_in_int8_and_draw_nothing(onnx_folder):
    record = json.loads((onnx_folder / "export.json").read_text())
    assert record["files"]["text.int8.onnx"] < 0.4 * record["files"]["text.onnx"]
    assert record["largest_deviation"] < 1e-5 and record["further"]["opset"] >= 17
    assert record["source"]["path"] == "fine"  # no folders of this machine


def test_the_int8_graph_of_photos_has_its_linear_layers_in_8_bits(onnx_folder):
    """The backbone's weights serve patches and tokens, so each is used twice: those were left as they are, or damaged."""
    graph = onnx.load(onnx_folder / "image.int8.onnx").graph
    constants = {tensor.name for tensor in graph.initializer if len(tensor.dims) > 1}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Transpose" and node.input[0] in constants}
    assert not [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm") and constants & set(node.input)]
    assert "MatMulInteger" in {node.op_type for node in graph.node}


def test_an_int8_graph_that_lost_its_vectors_is_refused(e2_checkpoint, onnx_folder, tmp_path, monkeypatch):
    def exact_graph(module, example, path, *names):  # the one of the same model: tracing it takes long
        shutil.copy(onnx_folder / path.name, path)
        return 18

    def garble(graph):  # as ONNX Runtime's quantiser did to weights that two layers share, up to 1.31
        for tensor in graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2:
                noise = np.random.default_rng(0).normal(size=tensor.dims).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(noise, tensor.name))

    monkeypatch.setattr("e2.adapters.export.onnx_folder._graph", exact_graph)
    monkeypatch.setattr(int8, "give_each_layer_its_own_weight", garble)
    with pytest.raises(InputError, match="in 8 bits"):
        export(encoder_of(e2_checkpoint), tmp_path / "out", "onnx", int8=True)
    assert not (tmp_path / "out").exists()


def readme_code(folder):
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    return code


def run_readme(folder, monkeypatch):
    """Its lines in its folder, with a photo; gives the variables."""
    photos()[0].save(folder / "photo.jpg", quality=95)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for module in ("preprocess", "tokens"):  # of another folder
        monkeypatch.delitem(sys.modules, module, raising=False)
    names: dict = {}
    exec(compile(readme_code(folder), str(folder / "README.md"), "exec"), names)
    (folder / "photo.jpg").unlink()
    return names


def test_onnx_readme_runs(onnx_folder, e2_checkpoint, monkeypatch, capsys):
    names = run_readme(onnx_folder, monkeypatch)
    assert names["image"].shape == (1, 16) and names["text"].shape == (2, 16)
    expected = encoder_of(e2_checkpoint).encode_texts(["a red dress", "a grey tee"])
    assert_allclose(names["text"], expected, atol=1e-5)
    assert len(capsys.readouterr().out.split()) >= 2


def test_open_clip_loads_a_plain_model(clip_checkpoint, tmp_path, monkeypatch):
    encoder = encoder_of(clip_checkpoint)
    assert export(encoder, tmp_path / "folder", "open_clip").largest_deviation == 0
    (theirs,) = load_exported(tmp_path / "folder", device="cpu", workers=0)
    assert_same_vectors(encoder, theirs, atol=1e-6)
    assert run_readme(tmp_path / "folder", monkeypatch)["image"].shape == (1, 16)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'folder'}")
    assert_allclose(preprocess(photos()[0]), encoder.preprocess(photos()[0]))
    assert tuple(model.visual.preprocess_cfg["size"]) == (32, 32)


def test_open_clip_gets_the_backbone_of_an_e2_only_when_asked(e2_checkpoint, tmp_path):
    with pytest.raises(InputError, match="no place for the selection tokens"):
        export(encoder_of(e2_checkpoint), tmp_path / "folder", "open_clip")
    assert not list(tmp_path.glob("folder*"))
    written = export(encoder_of(e2_checkpoint), tmp_path / "folder", "open_clip", backbone_only=True)
    assert written.further == {"backbone_only": True}
    (theirs,) = load_exported(tmp_path / "folder", device="cpu", workers=0)
    ours = encoder_of(e2_checkpoint)
    assert_allclose(theirs.encode_texts(TEXTS), ours.encode_texts(TEXTS), atol=1e-6)
    assert np.abs(theirs.encode_images(photos()) - ours.encode_images(photos())).max() > 1e-3
    assert "left out" in (tmp_path / "folder" / "README.md").read_text()


def test_a_plain_model_becomes_transformers_own_clip(clip_checkpoint, tmp_path, monkeypatch, capsys):
    from transformers import AutoProcessor, CLIPModel

    from e2.adapters.encoder import load_encoder

    encoder = encoder_of(clip_checkpoint)
    written = export(encoder, tmp_path / "folder", "transformers")
    assert (written.further["architecture"], written.further["own_code"]) == ("CLIPModel", False)
    assert sorted(path.name for path in (tmp_path / "folder").glob("*.py")) == ["preprocess.py", "tokens.py"]
    assert isinstance(CLIPModel.from_pretrained(tmp_path / "folder"), CLIPModel)
    (theirs,) = load_exported(tmp_path / "folder", device="cpu", workers=0)
    assert_allclose(theirs.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-5)
    assert (theirs.encode_images(photos()) * encoder.encode_images(photos())).sum(axis=1).min() > 0.999  # resized otherwise
    back = load_encoder(f"transformers:{tmp_path / 'folder'}", device="cpu", workers=0)  # and e2 reads it, by its own way
    assert_same_vectors(encoder, back, atol=1e-5)
    both = AutoProcessor.from_pretrained(tmp_path / "folder")(text=TEXTS, images=photos(), padding=True, return_tensors="pt")
    assert both.pixel_values.shape == (3, 3, 32, 32) and both.input_ids.shape[0] == 3
    run_readme(tmp_path / "folder", monkeypatch)
    assert "tensor" in capsys.readouterr().out


def test_an_e2_brings_its_code_to_transformers(e2_checkpoint, tmp_path, monkeypatch, capsys):
    encoder = encoder_of(e2_checkpoint)
    out = tmp_path / "folder"
    further = export(encoder, out, "transformers").further
    assert (further["architecture"], further["own_code"]) == ("E2Model", True)
    for path in out.glob("*.py"):
        assert not re.search(r"^\s*(from|import) (e2|adapters)\b", path.read_text(), re.MULTILINE), path.name
    (theirs,) = load_exported(out, device="cpu", workers=0)
    assert type(theirs.model.model).__module__.startswith("transformers_modules")
    assert_allclose(theirs.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-5)
    names = run_readme(out, monkeypatch)
    pixels = names["photos"]
    with torch.no_grad():
        assert_allclose(names["model"].get_region_features(pixels), encoder.model.encode_regions(pixels), atol=1e-5)
        answer = names["model"](input_ids=names["texts"], pixel_values=pixels)
        logits, _ = encoder.model.get_logits(pixels, encoder.tokenizer(["a red dress", "a grey tee"]))
    assert_allclose(answer.logits_per_image, logits, atol=1e-4)
    assert answer.region_embeds.shape == (1, len(TAGS), 16)


def test_a_siglip_goes_everywhere(siglip, tmp_path):
    """A timm tower, a text tower that looks at padding, a SentencePiece tokenizer."""
    encoder = encoder_of(f"local-dir:{siglip}")
    assert not maps_onto_clip_model(encoder.model.clip)
    for format in ("open_clip", "transformers", "onnx"):
        export(encoder, tmp_path / format, format)
        theirs = load_exported(tmp_path / format, **({"workers": 0} if format == "onnx" else {"device": "cpu", "workers": 0}))[
            0
        ]
        ours = encoder.encode_texts(["a red tee", "grey"])
        assert_allclose(theirs.encode_texts(["a red tee", "grey"]), ours, atol=1e-5, err_msg=format)


def test_an_export_that_deviates_is_an_error():
    assert largest_deviation([(np.zeros(3), np.full(3, 1e-6))]) == pytest.approx(1e-6)
    for bad in (1e-3, np.nan):
        with pytest.raises(InputError, match="deviates from PyTorch"):
            largest_deviation([(np.zeros(3), np.zeros(3)), (np.zeros(3), np.full(3, bad))])


def test_the_command_writes_and_measures(clip_checkpoint, shop, tmp_path):
    out = tmp_path / "folder"
    options = ("--data", shop, "--split", "val", "--tags", "colour", "--workers", 0, "--device", "cpu", "--json")
    answer = run_command("export", "--model", clip_checkpoint, "--format", "open_clip", "--out", out, *options)
    assert answer.status == 0, answer.err
    said = json.loads(answer.out)
    assert said["format"] == "open_clip" and set(said["differences"][0]["metrics"].values()) == {0.0}
    assert (out / "recall" / "comparison.json").is_file()
    again = run_command("export", "--model", clip_checkpoint, "--format", "open_clip", "--out", out)
    assert again.status == 2 and "a finished export already" in again.line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "tflite"), "--format 'tflite': choose onnx, open_clip or transformers"),
        (("--format", "open_clip", "--int8"), "--int8 belongs to --format onnx"),
        (("--format", "onnx", "--backbone-only"), "--backbone-only belongs to --format open_clip"),
    ],
)
def test_the_command_refuses(clip_checkpoint, tmp_path, options, message):
    answer = run_command("export", "--model", clip_checkpoint, "--out", tmp_path / "folder", "--device", "cpu", *options)
    assert answer.status == 2 and message in answer.line
    assert not os.listdir(tmp_path)


def test_damaged_exports_are_told(onnx_folder, tmp_path):
    for nothing in (tmp_path, onnx_folder / "image.onnx"):
        with pytest.raises(InputError, match="is not an export"):
            load_exported(nothing)
    (tmp_path / "export.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        load_exported(tmp_path)
    (tmp_path / "export.json").write_bytes((onnx_folder / "export.json").read_bytes())
    with pytest.raises(InputError, match="image.onnx is missing"):
        load_exported(tmp_path)
    (tmp_path / "image.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is damaged"):
        load_exported(tmp_path)
