"""Trainings are found again by what decides them, and by nothing else."""

import dataclasses
import json
import shutil

import pytest

from e2.benchmarks.studies import runs
from e2.benchmarks.studies.base import Variant
from e2.benchmarks.studies.digest import catalogue_digest
from e2.benchmarks.studies.runs import learned_digests, trained, training_config
from e2.data import open_catalogue
from e2.errors import InputError, TrainingStopped
from e2.settings import merged

CLIP = Variant("clip", {"method": "clip"})


@pytest.fixture
def started(monkeypatch) -> list:
    """Folders of the trainings that were begun or gone on with, instead of training."""
    folders = []

    def start(folder, options, resume):
        folders.append(folder)
        return {"weights_sha256": "0"}

    monkeypatch.setattr(runs, "start_run", start)
    return folders


def test_variant_wins_over_what_is_common(context):
    variant = Variant("x", {"model.tokens": {"brand": 3}, "data.batch_size": 8, "steps": 7})
    config = training_config(context, variant, 5)
    assert (config.model.tokens, config.data.batch_size, config.steps, config.seed) == ({"brand": 3}, 8, 7, 5)
    assert config.data.tags == ("brand", "season", "colour") and config.data.data == context.data[0]
    with pytest.raises(InputError, match="x.model: unknown setting nope"):
        training_config(context, Variant("x", {"model.nope": 1}), 0)


def test_same_training_under_another_label_is_found(context, started):
    trained(context, CLIP, 0, {"train": "a"})
    trained(context, Variant("none", {"method": "clip"}), 0, {"train": "a"})
    moved = dataclasses.replace(context, common=merged(context.common, {"device": "auto", "data": {"workers": 3}}))
    trained(moved, CLIP, 0, {"train": "a"})
    more_tokens = dataclasses.replace(context, common=merged(context.common, {"model": {"tokens": 3}}))
    trained(more_tokens, CLIP, 0, {"train": "a"})  # it has none
    assert len(set(started)) == 1 and started[0].name.endswith("-clip-0")


def test_other_seed_settings_data_or_weights_are_another_training(context, started, tmp_path):
    weights = tmp_path / "weights.safetensors"
    variants = [CLIP, Variant("clip", {"method": "clip", "pretrained": str(weights)})]
    trained(context, CLIP, 0, {"train": "a"})
    trained(context, CLIP, 1, {"train": "a"})
    trained(context, Variant("clip", {"method": "clip", "optim.lr": 1e-4}), 0, {"train": "a"})
    trained(context, CLIP, 0, {"train": "b"})
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        trained(context, variants[1], 0, {"train": "a"})
    assert len(set(started)) == len(started) == 6


def test_a_setting_that_came_later_leaves_trainings_where_it_is_at_its_default(context, started):
    first = trained(context, CLIP, 0, {"train": "a"}).folder.with_suffix(".json")
    record = json.loads(first.read_text())
    del record["settings"]["data"]["decoder"]
    first.unlink()
    earlier = context.runs / "0123456789ab-clip-0.json"
    earlier.write_text(json.dumps(record))
    (context.runs / "00-damaged.json").write_text("{")
    (context.runs / "00-list.json").write_text("[]")
    (context.runs / "00-other.json").write_text("{}")
    trained(context, CLIP, 0, {"train": "a"})
    assert started[-1] == earlier.with_suffix("") and json.loads(earlier.read_text()) == record
    trained(context, Variant("clip", {"method": "clip", "data.decoder": "torchvision"}), 0, {"train": "a"})
    trained(context, CLIP, 0, {"train": "b"})
    assert len({*started[-3:]}) == 3


def test_record_that_is_damaged_or_another_one_is_refused(context, started):
    record = trained(context, CLIP, 0, {"train": "a"}).folder.with_suffix(".json")
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "version": "9"}))
    with pytest.raises(InputError, match="other settings"):
        trained(context, CLIP, 0, {"train": "a"})
    record.write_text("{")
    with pytest.raises(InputError, match="damaged"):
        trained(context, CLIP, 0, {"train": "a"})


def test_interruption_says_whose_and_how_to_go_on(context, monkeypatch):
    def stop(*_, **__):
        raise TrainingStopped("stopped at step 1 of 2")

    monkeypatch.setattr(runs, "start_run", stop)
    with pytest.raises(TrainingStopped, match="clip, seed 0: stopped at step 1 of 2.*same e2 study command"):
        trained(context, CLIP, 0, {"train": "a"})


def test_digest_follows_the_contents_and_not_the_place(context, shop, tmp_path):
    assert list(learned_digests(context)) == ["train", "val"]
    copy = shutil.copytree(shop, tmp_path / "copy")
    digests = {catalogue_digest(open_catalogue(str(place), "val", tags=("brand",), progress=False)) for place in (shop, copy)}
    assert len(digests) == 1
    assert catalogue_digest(open_catalogue(str(shop), "val", tags=("season",), progress=False)) not in digests
