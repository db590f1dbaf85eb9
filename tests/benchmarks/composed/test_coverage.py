"""Published data sets with photos missing, damaged or named twice, and wishes that say nothing: left out, counted, said."""

import io
import json

import pytest
from rich.console import Console

from e2.adapters.composed import METHODS
from e2.adapters.composed.base import Composed, Composer
from e2.adapters.composed.rewriting import failed
from e2.benchmarks.composed.data import circo, cirr
from e2.benchmarks.composed.data.circo import load_circo
from e2.benchmarks.composed.data.cirr import load_cirr
from e2.benchmarks.composed.data.fashion200k import load_fashion200k
from e2.benchmarks.composed.data.fashioniq import load_fashioniq
from e2.benchmarks.composed.data.usable import coverage_line, covered
from e2.benchmarks.composed.evaluate import evaluate_composed, write_submissions
from e2.benchmarks.composed.notes import notes
from e2.benchmarks.composed.tables import results_table
from e2.errors import InputError
from tests.benchmarks.composed.data.test_benchmarks import (
    small_circo,
    small_cirr,
    small_fashion200k,
    small_fashioniq,
    write,
)
from tests.benchmarks.composed.test_evaluate import Chosen
from tests.benchmarks.stubs import colour_encoder

SUM = METHODS["sum"]
DAMAGED = b"\x89PNG\r\n no picture"


def fashioniq(root):
    return load_fashioniq, small_fashioniq(root), root / "images", root / "images/shirt/shirt2.jpg"


def cirr_val(root):
    return load_cirr, root, small_cirr(root), root / "dev/dev-3.png"


def circo_val(root):
    return load_circo, root, small_circo(root), root / "unlabeled2017/000000000023.jpg"


def fashion200k(root):
    small_fashion200k(root)
    return load_fashion200k, root, root, root / "women/b/4.jpeg"


def two_queries_circo(root):
    """CIRCO's split with a second query, so that one can be lost."""
    images = small_circo(root)
    (entry,) = json.loads((root / "annotations/val.json").read_text())
    write(root / "annotations/val.json", [entry, {**entry, "id": 1, "gt_img_ids": [4]}])
    return load_circo, root, images, root / "unlabeled2017/000000000023.jpg"


@pytest.mark.parametrize("cause", ["missing", "damaged"])
@pytest.mark.parametrize("published", [fashioniq, cirr_val, two_queries_circo, fashion200k])
def test_a_photo_that_is_missing_or_damaged_costs_its_queries_only(tmp_path, published, cause):
    load, annotations, images, photo = published(tmp_path)
    whole = covered(load(annotations, images, missing="skip").facts)
    photo.unlink() if cause == "missing" else photo.write_bytes(DAMAGED)
    task = load(annotations, images, missing="skip")
    found = covered(task.facts)
    assert found["photos"].left_out == {cause: 1} and found["queries"].left_out == {"without a photo": 1}
    assert found["photos"].used == whole["photos"].used - 1 == len(task.images)
    assert found["queries"].used == whole["queries"].used - 1 == len(task)
    result = evaluate_composed([colour_encoder()], task, Chosen(SUM), resamples=5).results
    (note,) = notes(result)
    total = whole["queries"].used
    assert note.startswith(f"{total - 1} of {total} queries (1 without a photo), ") and f"photos (1 {cause})" in note


def test_a_damaged_photo_of_a_complete_set_stops_with_advice_that_helps(tmp_path):
    load, annotations, images, photo = fashion200k(tmp_path)
    photo.write_bytes(DAMAGED)
    message = r"1 of 4 photos are damaged, women/b/4.jpeg for one \(it is damaged, or .*\); replace them, or .* --missing skip"
    with pytest.raises(InputError, match=message) as caught:
        evaluate_composed([colour_encoder()], load(annotations, images), Chosen(SUM), resamples=5)
    assert "on-bad-row" not in str(caught.value)


def test_photos_named_twice_are_one(tmp_path):
    root = small_fashioniq(tmp_path)
    once = load_fashioniq(root, root / "images", missing="skip")
    names = json.loads((root / "image_splits/split.dress.val.json").read_text())
    write(root / "image_splits/split.dress.val.json", [*names, *names[1:3]])
    twice = load_fashioniq(root, root / "images", missing="skip")
    assert twice.galleries["dress"].tolist() == once.galleries["dress"].tolist()
    assert "12 of 14 photos (2 named twice)" in coverage_line(twice.facts)


def test_wishes_that_say_nothing_or_too_much_are_left_out(tmp_path):
    root = small_fashioniq(tmp_path)
    path = root / "captions/cap.dress.val.json"
    entries = json.loads(path.read_text())
    for captions in ([" ", ". "], ["darker " * 100, "longer " * 100]):
        write(path, [entries[0], {**entries[1], "captions": captions}])
        task = load_fashioniq(root, root / "images", missing="skip")
        assert "5 of 6 queries (1 without a usable wish)" in coverage_line(task.facts) and len(task) == 5
    small_cirr(tmp_path / "cirr", "test1")
    path = tmp_path / "cirr/captions/cap.rc2.test1.json"
    first, second = json.loads(path.read_text())
    write(path, [first, {**second, "caption": " "}])
    with pytest.raises(InputError, match="cap.rc2.test1.json, entry 1: the wish is empty; .* or evaluate on the rest by"):
        load_cirr(tmp_path / "cirr", tmp_path / "cirr", split="test1")


class Mute(Composer):
    """Asks a rewriter that never answers."""

    name = "mute"

    def _compose(self, references, wishes):
        rewritings = [failed("a coat", wish, "no answer within 60 s") for wish in wishes]
        return Composed(self.encoder.encode_texts(rewritings), rewritings=rewritings)


def test_failed_rewritings_are_counted_in_file_and_notes(tmp_path, capsys):
    load, annotations, images, _ = fashion200k(tmp_path)
    found = evaluate_composed(
        [colour_encoder()], load(annotations, images), Chosen(SUM, Mute), out=tmp_path / "out", resamples=5
    )
    record = json.loads((tmp_path / "out/1_stub/mute/metrics.json").read_text())
    assert record["rewriting"]["failed"] == 2 == record["n"] and found.results[0]["rewriting"] is None
    assert notes(found.results)[1] == (
        "mute on stub: 2 of 2 rewritings failed (2 no answer within 60 s): caption and wish are used instead"
    )
    task = load_cirr(tmp_path / "cirr", small_cirr(tmp_path / "cirr", "test1"), split="test1")
    write_submissions([colour_encoder()], task, Chosen(Mute), cirr.write_submission, tmp_path / "hand-in")
    assert "mute: 2 of 2 rewritings failed" in capsys.readouterr().err


@pytest.mark.parametrize("cause", ["missing", "damaged", "silent"])
@pytest.mark.parametrize("name", ["cirr", "circo"])
def test_an_incomplete_submission_is_refused(tmp_path, name, cause):
    if name == "cirr":
        images, split, load, writer, photo = small_cirr(tmp_path, "test1"), "test1", load_cirr, cirr, "dev/dev-7.png"
        path, caption = tmp_path / "captions/cap.rc2.test1.json", "caption"
    else:
        images, split, load, writer, photo = (
            small_circo(tmp_path, "test"),
            "test",
            load_circo,
            circo,
            "unlabeled2017/000000000017.jpg",
        )
        path, caption = tmp_path / "annotations/test.json", "relative_caption"
        (entry,) = json.loads(path.read_text())
        write(path, [entry, {**entry, "id": 1, "reference_img_id": 23}])
    if cause == "missing":
        (tmp_path / photo).unlink()
    elif cause == "damaged":
        (tmp_path / photo).write_bytes(DAMAGED)
    else:
        first, *rest = json.loads(path.read_text())
        write(path, [{**first, caption: ""}, *rest])
    task = load(tmp_path, images, split=split, missing="skip")
    message = f"{name} {split}: 1 of 2 queries .* a server takes complete submissions only"
    with pytest.raises(InputError, match=message):
        write_submissions([colour_encoder()], task, Chosen(SUM), writer.write_submission, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cirr_sets_of_two_have_one_answer_each(tmp_path):
    images = small_cirr(tmp_path, "test1")
    path = tmp_path / "captions/cap.rc2.test1.json"
    entries = json.loads(path.read_text())
    write(path, [{**entry, "img_set": {"members": [entry["reference"], "dev-0"]}} for entry in entries])
    task = load_cirr(tmp_path, images, split="test1")
    _, file = write_submissions([colour_encoder()], task, Chosen(SUM), cirr.write_submission, tmp_path / "out")
    subset = json.loads(file.read_text())
    assert subset["12"] == subset["13"] == ["dev-0"]


def test_circo_ids_may_be_strings(tmp_path):
    images = small_circo(tmp_path)
    path = tmp_path / "annotations/val.json"
    (entry,) = json.loads(path.read_text())
    plain = load_circo(tmp_path, images, missing="skip")
    write(path, [{**entry, "id": "0", "reference_img_id": "17", "gt_img_ids": ["000004", 23]}])
    task = load_circo(tmp_path, images, missing="skip")
    assert task.query_names == plain.query_names == ["0"]
    assert [rows.tolist() for rows in task.answers] == [rows.tolist() for rows in plain.answers]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairid": 12}, "entry 1: a second query 12"),
        ({"pairid": "twelve"}, "entry 1: 'pairid' is missing or no whole number"),
        ({"pairid": True}, "no whole number"),
        ({"target_hard": None}, "entry 1: some queries have a target and some have none"),
        ({"target_hard": ["dev-2"]}, "'target_hard' is missing or no str"),
        ({"img_set": {"members": [1, 2]}}, "'members' is not a list of texts"),
        ({"img_set": None}, "'img_set' is missing"),
    ],
)
def test_damaged_annotations_are_named_by_entry(tmp_path, change, message):
    images = small_cirr(tmp_path)
    path = tmp_path / "captions/cap.rc2.val.json"
    first, second = json.loads(path.read_text())
    write(path, [first, {**second, **change}])
    with pytest.raises(InputError, match=message) as caught:
        load_cirr(tmp_path, images, missing="skip")
    assert "\n" not in str(caught.value)


def test_lists_of_other_things_than_names_are_refused(tmp_path):
    root = small_fashioniq(tmp_path)
    write(root / "image_splits/split.dress.val.json", [1, None])
    with pytest.raises(InputError, match="split.dress.val.json is not a list of texts"):
        load_fashioniq(root, root / "images", missing="skip")
    small_fashion200k(root)
    (root / "test_queries.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="test_queries.txt cannot be read"):
        load_fashion200k(root, root)


def test_wide_results_take_several_tables(tmp_path):
    task = load_circo(tmp_path, small_circo(tmp_path), missing="skip")
    found = evaluate_composed([colour_encoder()], task, Chosen(SUM), resamples=5)
    heads = {}
    for width in (80, 300):
        console = Console(width=width, file=io.StringIO())
        console.print(results_table(found))
        heads[width] = [line.split()[1::2] for line in console.file.getvalue().splitlines() if "encoder" in line]
    assert heads[80][0] == ["encoder", "method", "R@5", "R@10"] and heads[80][-1][2:] == ["mAP@25", "mAP@50"]
    assert [len(heads[width]) for width in (80, 300)] == [4, 1]
