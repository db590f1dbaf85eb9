"""An exported ONNX folder by its name wherever an encoder is named: same vectors, same hash, and no more than it has."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from e2.adapters.encoder import load_encoder
from e2.adapters.export.writing import export
from e2.adapters.search.app.models import Models
from e2.adapters.search.app.photos import SentPhoto
from e2.adapters.tag_reader import TagReader
from e2.errors import InputError
from e2.notes import note
from tests.adapters.export.conftest import encoder_of
from tests.command import run_command
from tests.conftest import TAGS, jpeg

TEXTS = ["a red tee", "a long coat of grey wool"]
PHOTOS = [Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8))] * 2


@pytest.fixture
def copied(onnx_folder, tmp_path):
    return shutil.copytree(onnx_folder, tmp_path / "copied")


def change(folder, **fields):
    """Other words in the record."""
    record = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**record, **fields}))


def test_exact_graphs_stand_for_their_checkpoint(onnx_folder, e2_checkpoint):
    ours, theirs = encoder_of(e2_checkpoint), load_encoder(f"onnx:{onnx_folder}", workers=0)
    assert theirs.tags == TAGS and theirs.info["path"] == f"onnx:{onnx_folder}"
    assert theirs.info["weights_sha256"] == ours.info["weights_sha256"]
    assert theirs.loss == ours.loss and theirs.loss["centre_tags"]
    assert_allclose(theirs.encode_regions(PHOTOS), ours.encode_regions(PHOTOS), atol=1e-5)
    assert_allclose(theirs.encode_texts(TEXTS), ours.encode_texts(TEXTS), atol=1e-5)
    vocabulary = {"brand": ["Nike", "Puma"]}
    readers = [TagReader(encoder, vocabulary) for encoder in (ours, theirs)]  # each centred, in the trained words
    assert readers[0].prompt == readers[1].prompt == "brand: {tag}"
    assert_allclose(readers[1].compared["brand"], readers[0].compared["brand"], atol=1e-4)


def test_graphs_in_8_bits_have_a_hash_of_their_own(onnx_folder, e2_checkpoint):
    int8 = load_encoder(f"onnx-int8:{onnx_folder}", workers=0)
    assert len(int8.info["weights_sha256"]) == 64
    assert int8.info["weights_sha256"] != encoder_of(e2_checkpoint).info["weights_sha256"]
    assert int8.info["path"] == f"onnx-int8:{onnx_folder}"
    assert int8.weight_bytes == sum((onnx_folder / f"{name}.int8.onnx").stat().st_size for name in ("image", "text"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "runs on the CPU, not on cuda"),
        ({"precision": "bf16"}, "was exported in, not in bf16"),
        ({"cache": Path("cache")}, "--cache does not serve exported graphs"),
    ],
)
def test_beside_other_encoders_graphs_run_as_they_can_and_say_so(onnx_folder, options, message, capsys):
    note.cache_clear()
    encoder = load_encoder(f"onnx:{onnx_folder}", workers=0, **options)
    assert message in capsys.readouterr().err
    assert (encoder.device.type, encoder.precision, encoder.cached) == ("cpu", "fp32", None)
    assert_array_equal(encoder.encode_texts(TEXTS), load_encoder(f"onnx:{onnx_folder}", workers=0).encode_texts(TEXTS))


def test_what_graphs_do_not_hold_is_told(onnx_folder, tmp_path):
    encoder = load_encoder(f"onnx:{onnx_folder}", workers=0)
    for asked in (lambda: encoder.selections(PHOTOS), lambda: encoder.model.logit_scale):
        with pytest.raises(InputError, match="give only embeddings; for this give the checkpoint"):
            asked()
    for asked in (
        lambda: encoder.encode_images(PHOTOS, normalize=False),
        lambda: encoder.encode_texts(TEXTS, normalize=False),
    ):
        with pytest.raises(InputError, match="unit length; give the checkpoint"):
            asked()
    with pytest.raises(InputError, match="is an export itself"):
        export(encoder, tmp_path / "again", "onnx")


def test_the_app_reads_tags_by_graphs_and_shows_no_overlay(onnx_folder, e2_checkpoint):
    encoders = load_encoder(f"onnx:{onnx_folder}", workers=0), encoder_of(e2_checkpoint)
    onnx, torch = (Models(encoder, {"colour": ["red", "green"]}) for encoder in encoders)
    photo = SentPhoto("upload:a", jpeg((200, 30, 30), seed=1))
    assert onnx.selections(photo) == {} and set(torch.selections(photo)) == set(TAGS)
    assert dict(onnx.encoder.preprocessing)["resize_mode"] == torch.encoder.preprocessing["resize_mode"]
    (ours,), (theirs,) = torch.read_tags(photo).values(), onnx.read_tags(photo).values()
    assert [value for value, _ in theirs] == [value for value, _ in ours]
    assert_allclose([cosine for _, cosine in theirs], [cosine for _, cosine in ours], atol=1e-4)


def test_files_of_another_export_are_refused(copied):
    whole = (copied / "text.onnx").read_bytes()
    (copied / "text.onnx").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match="text.onnx is damaged or of another export"):
        load_encoder(f"onnx:{copied}")
    load_encoder(f"onnx-int8:{copied}")  # which does without it
    (copied / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="tokenizer.json is missing"):
        load_encoder(f"onnx-int8:{copied}")


@pytest.mark.parametrize(
    "damage", [{"further": {}}, {"source": {}}, {"sha256": []}, {"format": "open_clip"}, {"files": None, "new": 1}]
)
def test_a_damaged_record_is_one_line(copied, damage):
    change(copied, **damage)
    with pytest.raises(InputError, match="damaged|not to onnx|missing") as error:
        load_encoder(f"onnx:{copied}")
    assert "\n" not in str(error.value)


def test_without_onnxruntime_one_line_says_what_to_install(onnx_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'e2-fashion\[onnx\]'"):
        load_encoder(f"onnx:{onnx_folder}")


def test_commands_take_it_and_refuse_it_by_its_hash(onnx_folder, copied, e2_checkpoint, shop, tmp_path):
    small = ("--split", "val", "--tags", "colour", "--workers", 0, "--device", "cpu")
    found = {}
    for name, model in (("torch", e2_checkpoint), ("onnx", f"onnx:{onnx_folder}")):
        answer = run_command("evaluate", "retrieval", "--model", model, "--data", shop, "--out", tmp_path / name, *small)
        assert answer.status == 0, answer.err
        found[name] = json.loads((tmp_path / name / "metrics.json").read_text())
    assert found["onnx"]["metrics"] == found["torch"]["metrics"]
    assert found["onnx"]["model"]["path"] == f"onnx:{onnx_folder}"

    file = tmp_path / "vectors.parquet"
    answer = run_command(
        "embed", "--model", f"onnx:{onnx_folder}", "--data", shop, "--what", "image,region", "--out", file, *small
    )
    assert answer.status == 0, answer.err
    assert set(pq.read_table(file)["entity"].to_pylist()) == {None, *TAGS}

    index = tmp_path / "index"
    answer = run_command("index", "build", "--encoder", e2_checkpoint, "--data", shop, "--out", index, *small)
    assert answer.status == 0, answer.err
    search = ("index", "search", "--index", index, "--text", "a red tee", "--device", "cpu", "--json")
    hits = [json.loads(run_command(*search, *given).out)["hits"] for given in ((), ("--encoder", f"onnx:{onnx_folder}"))]
    assert [hit["product_id"] for hit in hits[1]] == [hit["product_id"] for hit in hits[0]]

    change(copied, source={**found["onnx"]["model"], "weights_sha256": "0" * 64})
    for stranger in (f"onnx:{copied}", f"onnx-int8:{onnx_folder}"):
        answer = run_command(*search, "--encoder", stranger)
        assert answer.status == 2 and f"not with {stranger}" in answer.line
