"""Between start and end: exact at both, and the start is the real one."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import e2
from e2.adapters.encoder import load_encoder
from e2.benchmarks.wise_ft.evaluate import sweep, sweep_table
from e2.data import open_catalogue
from e2.training.run import start_run
from e2.training.wise_ft import both_ends, interpolated
from tests.conftest import TAGS


@pytest.fixture(scope="module")
def start_file(tiny, tmp_path_factory):
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_file(e2.create_model_and_transforms(tiny)[0].clip.state_dict(), path)
    return path


def train(shop, tiny, out, start, **options):
    fixed = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "device": "cpu"}
    fixed |= {"backbone": tiny, "steps": 6, "eval_every": 3, "optim.lr": 1e-3}
    return start_run(out, {**fixed, **({"pretrained": str(start)} if start else {}), **options})


@pytest.fixture(scope="module")
def run(shop, tiny, start_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train(shop, tiny, out, start_file)
    return out


def test_both_ends_are_what_training_began_and_ended_with(run, start_file):
    start, trained = both_ends(run)
    begun, ended = load_file(start_file), load_file(run / "model.safetensors")
    assert start.keys() == trained.keys() == ended.keys()
    assert all(torch.equal(start[name], value) for name, value in begun.items())
    assert not all(torch.equal(trained[name], value) for name, value in begun.items())
    at = {alpha: interpolated(start, trained, alpha) for alpha in (0, 0.25, 1)}
    assert all(torch.equal(at[0][name], start[name]) and torch.equal(at[1][name], trained[name]) for name in start)
    for name in start:
        torch.testing.assert_close(at[0.25][name], 0.75 * start[name] + 0.25 * trained[name])


def test_at_zero_the_model_embeds_as_the_start_model(run, tiny, start_file, shop, tmp_path):
    sweep(run, [0], [open_catalogue(str(shop), "val")], tmp_path / "out", save=0.0, device="cpu", workers=0)
    encoders = [load_encoder(name, device="cpu") for name in (tmp_path / "out", f"open_clip:{tiny}/{start_file}")]
    photos = [open_catalogue(str(shop), "val")[i].images[0] for i in range(4)]
    images = [encoder.encode_images(photos, progress=False) for encoder in encoders]
    texts = [encoder.encode_texts(["a red tee", "blue"], progress=False) for encoder in encoders]
    assert abs(images[0] - images[1]).max() < 1e-6 and abs(texts[0] - texts[1]).max() < 1e-6


def test_the_sweep_measures_each_share_and_saves_the_asked_one(run, shop, tmp_path):
    val = open_catalogue(str(shop), "val")
    entries = sweep(run, [0, 0.5, 1], [val, val], tmp_path / "out", save=0.5, device="cpu", workers=0)
    stored = json.loads((tmp_path / "out" / "wise_ft.json").read_text())
    assert [entry["alpha"] for entry in stored["sweep"]] == [0, 0.5, 1]
    assert all(entry["results"][0]["metrics"] == entry["results"][1]["metrics"] for entry in entries)
    assert len({entry["results"][0]["model"]["weights_sha256"] for entry in entries}) == 3
    at = [entry["results"][0]["metrics"]["SumR"] for entry in entries]
    less = [[found["metrics"]["SumR"] for found in entry["differences"]] for entry in entries]
    assert less == [pytest.approx([value - at[2]] * 2) for value in at[:2]] + [[]]
    assert stored["sweep"][0]["differences"] == entries[0]["differences"]
    turned = sweep(run, [1, 0, 0.5], [val], tmp_path / "turned", device="cpu", workers=0)
    assert [entry["results"][0]["metrics"]["SumR"] for entry in turned] == at
    assert sweep_table(entries).row_count == 3
    start, trained = both_ends(run)
    saved, expected = load_file(tmp_path / "out" / "model.safetensors"), interpolated(start, trained, 0.5)
    assert all(torch.equal(saved[name], expected[name]) for name in expected)
    with pytest.raises(e2.InputError, match="interpolated weights already"):
        both_ends(tmp_path / "out")
    with pytest.raises(e2.InputError, match="different models.*alpha 0.5"):
        sweep(run, [0.5, 0.5], [val], tmp_path / "twice", device="cpu", workers=0)
    with pytest.raises(e2.InputError, match="holds a checkpoint"):
        sweep(run, [0], [val], tmp_path / "out", device="cpu")


def test_a_frozen_tower_is_read_from_the_cache_for_every_share(shop, tiny, start_file, run, tmp_path):
    val = open_catalogue(str(shop), "val")
    frozen = {"optim.image_layers": 1, "optim.lr": 1e-2}
    train(shop, tiny, tmp_path / "frozen", start_file, **frozen)
    how = {"alphas": [0, 0.5, 1], "catalogues": [val, val], "device": "cpu", "workers": 0, "precision": "bf16"}
    plain = sweep(tmp_path / "frozen", out=tmp_path / "plain", **how)
    cached = sweep(tmp_path / "frozen", out=tmp_path / "cached", cache=tmp_path / "cache", **how)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert [[r["metrics"] for r in e["results"]] for e in cached] == [[r["metrics"] for r in e["results"]] for e in plain]
    assert plain[0]["results"][0]["metrics"] != plain[2]["results"][0]["metrics"]
    with pytest.raises(e2.InputError, match="whole image tower"):
        sweep(run, [0], [val], tmp_path / "whole", device="cpu", cache=tmp_path / "cache")


def test_train_saves_interpolated_weights_and_says_how_good_they_are(shop, tiny, start_file, run, tmp_path):
    summary = train(shop, tiny, tmp_path / "half", start_file, wise_ft=0.5)
    start, trained = both_ends(run)
    saved, expected = load_file(tmp_path / "half" / "model.safetensors"), interpolated(start, trained, 0.5)
    assert all(torch.equal(saved[name], expected[name]) for name in expected)
    assert summary["wise_ft"] == 0.5 and 0 <= summary["val_SumR"] <= 600


def test_what_cannot_be_interpolated_is_refused(shop, tiny, start_file, run, tmp_path):
    with pytest.raises(e2.InputError, match="--pretrained"):
        train(shop, tiny, tmp_path / "random", None, wise_ft=0.5)
    with pytest.raises(e2.InputError, match="wise_ft must be at most 1"):
        train(shop, tiny, tmp_path / "beyond", start_file, wise_ft=1.5)
    train(shop, tiny, tmp_path / "random", None)
    with pytest.raises(e2.InputError, match="not trained from pre-trained"):
        both_ends(tmp_path / "random")
    before = start_file.read_bytes()
    try:
        save_file({name: value + 1 for name, value in load_file(start_file).items()}, start_file)
        with pytest.raises(e2.InputError, match="have changed since"):
            both_ends(run)
    finally:
        start_file.write_bytes(before)
