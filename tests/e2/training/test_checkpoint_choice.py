"""Which weights a run keeps: the best, of equal ones the latest, and the last beside them; and what it says of the choice."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

import e2
from e2.adapters.encoder import load_encoder
from e2.checkpoint import LAST, WEIGHTS, read_tensors, weights_sha256
from e2.config import DataConfig, TrainConfig
from e2.data import Product
from e2.errors import InputError, TrainingStopped
from e2.files import file_sha256
from e2.training import keep, train
from e2.training.run import start_run
from e2.training.splits import open_splits
from e2.training.validation import FirstPhotos, validate
from tests.benchmarks.stubs import Shelf
from tests.conftest import jpeg

OPTIONS = {"method": "clip", "data.batch_size": 16, "data.workers": 0, "device": "cpu", "steps": 6, "eval_every": 2}


@pytest.fixture
def scored(monkeypatch):
    """Lets validations come out as planned."""

    def plan(*scores: float) -> None:
        left = list(scores)
        monkeypatch.setattr(keep, "validate", lambda *args, **options: dict.fromkeys(NAMES, 0.0) | {"SumR": left.pop(0)})

    return plan


NAMES = [f"{way}_R@{k}" for way in ("image_to_text", "text_to_image") for k in (1, 5, 10)]


def fit(shop, tiny, out, **options):
    return start_run(out, {**OPTIONS, "data.data": str(shop), "backbone": tiny, **options}, overwrite=True)


def step_of(file) -> int:
    with safe_open(file, "pt") as opened:
        return int(opened.metadata()["step"])


@pytest.mark.parametrize("scores, best", [((300, 200, 200), 2), ((100, 200, 200), 6), ((600, 600, 500), 4)])
def test_the_latest_of_equals_is_kept_and_the_last_weights_beside_it(shop, tiny, tmp_path, scored, scores, best):
    out = tmp_path / "run"
    scored(*scores)
    summary = fit(shop, tiny, out)
    assert (summary["step"], step_of(out / WEIGHTS), step_of(out / LAST)) == (best, best, 6)
    assert summary["weights_sha256"] == file_sha256(out / WEIGHTS) == weights_sha256(out)
    kept, last = read_tensors(out / WEIGHTS), read_tensors(out / LAST)
    assert all(torch.equal(kept[name], last[name]) for name in kept) == (best == 6)


def test_equal_validations_still_run_out_of_patience(shop, tiny, tmp_path, scored):
    scored(300, 300, 300, 300)
    summary = fit(shop, tiny, tmp_path / "run", steps=20, patience=2)
    assert summary["step"] == step_of(tmp_path / "run" / LAST) == 6


def test_the_last_weights_load_like_the_best(shop, tiny, tmp_path, scored):
    out = tmp_path / "run"
    scored(300, 200, 100)
    fit(shop, tiny, out)
    last, state = e2.load(out / LAST)[0], read_tensors(out / LAST)
    assert all(torch.equal(state[name], value) for name, value in last.clip.state_dict().items())
    encoder = load_encoder(out / LAST, device="cpu", workers=0)
    assert encoder.info["weights_sha256"] == weights_sha256(out / LAST) == file_sha256(out / LAST) != weights_sha256(out)
    with pytest.raises(InputError, match="first.safetensors is missing"):
        e2.load(out / "first.safetensors")
    (out / "config.json").unlink()
    for load in (e2.load, load_encoder):
        with pytest.raises(InputError, match="not an E2 checkpoint: it has no config.json"):
            load(out / LAST)


def test_a_new_run_in_the_place_of_another_leaves_none_of_its_weights(shop, tiny, tmp_path, scored, monkeypatch):
    out = tmp_path / "run"
    scored(300, 200, 100)
    fit(shop, tiny, out)
    monkeypatch.setattr(train, "fit", lambda run: (_ for _ in ()).throw(TrainingStopped("at once")))
    with pytest.raises(TrainingStopped, match="at once"):
        fit(shop, tiny, out)
    assert not list(out.glob("*.safetensors"))


def test_a_run_says_what_it_trains_on_and_that_few_products_validate(shop, tiny, tmp_path, capsys, monkeypatch):
    fit(shop, tiny, tmp_path / "few", steps=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"clip of {tiny} on cpu: 2 steps of batches of 16"  # before anything is read
    assert lines[1] == f"{shop}: read and checked first; its val split will choose the checkpoint"
    assert lines[2] == "60 products to train on, 12 to validate; 2 steps of 16"
    assert re.fullmatch(r"\d+\.\d million parameters; validation every \d+ steps", lines[3])
    assert lines[4].startswith("12 products to validate by: too few to tell checkpoints apart (take 50 or more); last.")
    monkeypatch.setattr(train, "FEW", 12)
    fit(shop, tiny, tmp_path / "enough", steps=2)
    assert "too few" not in capsys.readouterr().err


@pytest.mark.parametrize(("first", "shared"), [(0, 3), (2, 1), (3, 0)])
def test_products_that_validate_and_are_trained_on_are_told(tmp_path, capsys, first, shared):
    photos = [jpeg((200, 30, 30), number) for number in range(7)]
    for split, numbers in {"train": range(3), "val": range(first, first + 3)}.items():
        columns = {"product_id": [str(n) for n in numbers], "image": [photos[n] for n in numbers], "caption": ["A tee"] * 3}
        pq.write_table(pa.table(columns), tmp_path / f"{split}.parquet")
    open_splits(TrainConfig(data=DataConfig(data=str(tmp_path))))
    assert (f"{shared} of 3 ids of val are in train, too" in capsys.readouterr().err) == bool(shared)


def test_texts_of_the_same_tokens_are_no_rivals_in_validation(tiny):
    """One photo and one text in other spellings: whichever is found, it is right."""

    photo, texts = jpeg((200, 30, 30), 0), ("A red tee", "a red tee", "A RED  TEE", "a coat")
    shelf = Shelf([Product(text, (photo,), (text,), {}) for text in texts])
    model, _, transform = e2.create_model_and_transforms(tiny)
    photos = FirstPhotos(shelf, transform, "caption")
    found = validate(model, photos, e2.get_tokenizer(tiny), batch_size=2, workers=0, device=torch.device("cpu"))
    right = 3 if found["image_to_text_R@1"] > 50 else 1  # the one text that all four equal photos find first
    assert found["image_to_text_R@1"] == pytest.approx(100 * right / 4)
    assert found["text_to_image_R@1"] == pytest.approx(100 * (3 * 1 / 2 + 1 / 4) / 4)  # all photos tie
