"""A photo that is sound when a catalogue is opened and broken when a run comes to see it."""

import json
from collections import Counter

import pytest
import torch
from safetensors.torch import load_file

from e2.config import TrainConfig
from e2.data import open_catalogue
from e2.data.loader import STAND_INS, StepSampler, TrainingViews, training_loader
from e2.data.lost import NAMED, LostPhoto, LostPhotos
from e2.errors import TrainingStopped
from e2.factory import create_model_and_transforms, get_tokenizer
from e2.settings import from_dict
from e2.training.train import train
from tests.conftest import jpeg

COUNT = 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twenty products; every fifth has two photos."""
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    lines = []
    for number in range(COUNT):
        names = [f"{number}.jpg", f"{number}b.jpg"][: 1 + (number % 5 == 0)]
        for name in names:
            (tmp_path / name).write_bytes(jpeg((5 * number, 100, 200), number))
        lines.append(json.dumps({"product_id": f"p{number}", "image": names, "caption": f"Tee {number}"}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    return tmp_path


def catalogue_of(folder):
    return open_catalogue(str(folder / "train.jsonl"), progress=False)


def views_of(catalogue, tiny, on_bad_row):
    transform = create_model_and_transforms(tiny)[1]
    return TrainingViews(catalogue, transform, (), text="caption", prompt="{tag}", seed=0, on_bad_row=on_bad_row)


def test_another_photo_of_the_product_stands_in_first(folder, tiny):
    views = views_of(catalogue_of(folder), tiny, "skip")
    (folder / "5.jpg").write_bytes(b"broken")
    seen = [views[(epoch, 5)] for epoch in range(8)]
    assert {view.text for view in seen} == {"Tee 5"}
    assert {len(view.lost) for view in seen} == {0, 1}


def test_then_another_product_always_the_same(folder, tiny):
    catalogue = catalogue_of(folder)
    (folder / "3.jpg").unlink()
    views = views_of(catalogue, tiny, "skip")
    view, again = views[(2, 3)], views_of(catalogue, tiny, "skip")[(2, 3)]
    assert view.text == again.text != "Tee 3" and torch.equal(view.image, again.image)
    assert len(view.lost) == 1 and view.lost[0].startswith("product 'p3'") and "no such file" in view.lost[0]
    assert len({views[(epoch, 3)].text for epoch in range(12)}) > 3  # not always the same neighbour


def test_all_others_are_as_if_nothing_had_happened(folder, tiny):
    catalogue = catalogue_of(folder)
    views = views_of(catalogue, tiny, "skip")
    before = [views[(0, index)].image for index in range(COUNT)]
    (folder / "3.jpg").unlink()
    for index in range(COUNT):
        assert torch.equal(views[(0, index)].image, before[index]) == (index != 3)


def batches(views, workers, stop=4):
    sampler = StepSampler(len(views), 5, start=0, stop=stop, seed=1)
    return list(training_loader(views, sampler, get_tokenizer("e2-nano"), workers=workers, pin_memory=False))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sampler_is_gone_through_once(folder, tiny, workers):
    views, passes = views_of(catalogue_of(folder), tiny, "error"), []

    class Counted(StepSampler):  # one that fetches what comes next would fetch it twice
        def __iter__(self):
            passes.append(self)
            return super().__iter__()

    sampler = Counted(len(views), 5, start=0, stop=3, seed=1)
    loaded = training_loader(views, sampler, get_tokenizer("e2-nano"), workers=workers, pin_memory=False)
    assert len(list(loaded)) == 3 and len(passes) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_goes_on_and_counts(folder, tiny, capsys, workers):
    views = views_of(catalogue_of(folder), tiny, "skip")
    (folder / "3.jpg").write_bytes(b"")
    (folder / "4.jpg").unlink()
    found = batches(views, workers, stop=8)
    assert [len(batch) for batch in found] == [5] * 8
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("product 'p3'") == 1 and said.count("product 'p4'") == 1  # named once, though seen in two epochs
    total = int(said.rsplit(": ", 1)[1].split(" times")[0])
    assert total >= 4  # two photos in two epochs, and whenever one was drawn as a stand-in


@pytest.mark.parametrize("workers", [0, 2])
def test_error_names_the_photo_in_one_line(folder, tiny, workers):
    views = views_of(catalogue_of(folder), tiny, "error")
    (folder / "3.jpg").write_bytes(b"")
    with pytest.raises(LostPhoto, match="product 'p3': .*3.jpg: it is empty") as caught:
        batches(views, workers)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


def test_when_everything_is_gone_nothing_stands_in(folder, tiny):
    catalogue = catalogue_of(folder)
    for file in folder.glob("*.jpg"):
        file.unlink()
    view = views_of(catalogue, tiny, "skip")[(0, 1)]
    assert len(view.lost) >= STAND_INS
    with pytest.raises(LostPhoto):
        batches(views_of(catalogue, tiny, "skip"), 0)


def test_many_lost_photos_fill_no_terminal(capsys):
    lost = LostPhotos("lost")
    for number in range(50):
        lost.note([f"photo {number}"] * 2)
    lost.close()
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == NAMED + 1 and "only counted" in lines[-2] and "100 times" in lines[-1]


def config_of(tiny, on_bad_row):
    data = {"data": "-", "batch_size": 5, "workers": 0, "on_bad_row": on_bad_row, "augment": "none"}
    return from_dict(TrainConfig, {"method": "clip", "backbone": tiny, "device": "cpu", "steps": 4, "data": data})


def test_training_with_skip_ends_well(folder, tiny, tmp_path, capsys):
    catalogue = catalogue_of(folder)
    (folder / "3.jpg").unlink()  # the first photo of a product of both splits
    progress = train(config_of(tiny, "skip"), catalogue, catalogue, tmp_path / "run")
    assert progress.step == 4 and (tmp_path / "run/model.safetensors").exists()
    said = capsys.readouterr().err
    assert "another photo replaces" in said and "validation goes on without" in said


def test_training_with_error_stops_in_one_line_and_goes_on_where_it_was(folder, tiny, tmp_path):
    out, contents = tmp_path / "run", (folder / "3.jpg").read_bytes()
    catalogue = catalogue_of(folder)
    undisturbed = train(config_of(tiny, "error"), catalogue, catalogue, tmp_path / "other")
    order = [index for _, index in sum(StepSampler(COUNT, 5, start=0, stop=4, seed=0), [])]
    step = order.index(3) // 5
    (folder / "3.jpg").unlink()
    with pytest.raises(TrainingStopped, match=f"stopped at step {step}: product 'p3'.*--resume") as caught:
        train(config_of(tiny, "error"), catalogue, catalogue, out)
    assert "\n" not in str(caught.value)
    (folder / "3.jpg").write_bytes(contents)
    resumed = train(config_of(tiny, "error"), catalogue, catalogue, out, resume=True)
    assert resumed.history == undisturbed.history
    weights, expected = (load_file(folder / "model.safetensors") for folder in (out, tmp_path / "other"))
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in weights)


def test_one_broken_photo_in_ten_thousand_is_one_view_in_ten_thousand(folder, tiny):
    """Whatever the epoch, only the broken product's turn is taken by another."""
    catalogue = catalogue_of(folder)
    (folder / "3.jpg").unlink()
    views = views_of(catalogue, tiny, "skip")
    for epoch in range(3):
        texts = Counter(views[(epoch, index)].text for index in range(COUNT))
        assert "Tee 3" not in texts and sorted(texts.values())[-2:] in ([1, 2], [2, 1]) and sum(texts.values()) == COUNT
