"""Reading the published layouts of FashionIQ, CIRR, CIRCO and Fashion200k: counts, coverage, and what is refused."""

import json

import numpy as np
import pytest

from e2.benchmarks.composed.data import circo, cirr, fashioniq
from e2.benchmarks.composed.data.circo import load_circo
from e2.benchmarks.composed.data.cirr import load_cirr
from e2.benchmarks.composed.data.fashion200k import load_fashion200k, modification
from e2.benchmarks.composed.data.fashioniq import CATEGORIES, load_fashioniq, read_entries, read_gallery
from e2.errors import InputError
from tests.benchmarks.stubs import png
from tests.shared import shared_path

PHOTO = png("red")
COUNTS = {"dress": (2017, 3817, 2628), "shirt": (2038, 6346, 3089), "toptee": (1961, 5373, 2902)}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def photos(folder, names, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}{suffix}").write_bytes(PHOTO)
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The real annotations, and an empty file for each photo that they name."""
    annotations = shared_path("data/fashion-iq")
    images = tmp_path_factory.mktemp("photos")
    for category in CATEGORIES:
        for name in read_gallery(annotations, category, "val"):
            (images / f"{name}.jpg").touch()
    return annotations, images


@pytest.mark.parametrize("gallery", ["original", "val-union"])
def test_published_fashioniq_has_its_published_counts(published, gallery):
    task = load_fashioniq(*published, gallery=gallery)
    for category in CATEGORIES:
        queries, original, union = COUNTS[category]
        assert (task.categories == category).sum() == queries
        assert len(task.galleries[category]) == (original if gallery == "original" else union)
        assert task.facts["coverage"][category]["photos"] == {"used": original, "annotated": original, "published": original}
    assert len(task.images) == (15415 if gallery == "original" else len(set(task.image_names)))
    assert task.protocol == f"fiq_{gallery.replace('-', '_')}" and not task.exclude_reference
    for query in (0, 2500, len(task) - 1):
        assert task.references[query] in task.galleries[task.categories[query]]
        assert task.answers[query][0] in task.galleries[task.categories[query]]
    entry = read_entries(published[0], "dress", "val")[0]
    assert task.wordings[0][0] == entry.captions
    assert task.image_names[task.references[0]] == entry.reference
    assert task.image_names[task.answers[0][0]] == entry.answers[0]


def small_fashioniq(root):
    """Two queries a category over four photos."""
    for category in CATEGORIES:
        names = [f"{category}{i}" for i in range(4)]
        entries = [
            {"candidate": names[0], "target": names[1], "captions": ["is red", "is long"]},
            {"candidate": names[1], "target": names[2], "captions": ["", "has a collar."]},
        ]
        write(root / f"captions/cap.{category}.val.json", entries)
        write(root / f"image_splits/split.{category}.val.json", names)
        photos(root / "images" / category, names)
    return root


def test_missing_fashioniq_photos_are_an_error_or_reported_as_coverage(tmp_path):
    root = small_fashioniq(tmp_path)
    (root / "images/shirt/shirt2.jpg").unlink()  # the target of its second query
    with pytest.raises(InputError, match="dress val queries: 2 in these annotations, 2,017 as published"):
        load_fashioniq(root, root / "images")
    task = load_fashioniq(root, root / "images", missing="skip")
    covered = task.facts["coverage"]["shirt"]
    assert covered["queries"] == {"used": 1, "annotated": 2, "published": 2038}
    assert covered["photos"] == {"used": 3, "annotated": 4, "published": 6346}
    assert len(task) == 5 and len(task.images) == 11
    assert len(load_fashioniq(root, root / "images", missing="skip", gallery="val-union").galleries["dress"]) == 3


def test_absent_photos_of_the_real_annotations_are_named(published, tmp_path):
    with pytest.raises(InputError, match=r"lacks 3,816 of 3,817 photos, B\w+ for one; complete it, or .* --missing skip"):
        load_fashioniq(published[0], photos(tmp_path, read_gallery(published[0], "dress", "val")[:1]))


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("captions/cap.dress.val.json", "[{", "cannot be read as JSON"),
        ("captions/cap.dress.val.json", {}, "should hold a JSON list"),
        ("captions/cap.dress.val.json", [{"candidate": "a", "captions": ["x", "y"]}], "entry 0: 'target' is missing"),
        ("captions/cap.dress.val.json", [{"candidate": "a", "target": "b", "captions": ["x"]}], "needs two captions, has 1"),
    ],
)
def test_damaged_fashioniq_annotations(tmp_path, path, content, message):
    root = small_fashioniq(tmp_path)
    write(root / path, content)
    with pytest.raises(InputError, match=message):
        load_fashioniq(root, root / "images", missing="skip")


@pytest.mark.parametrize(
    ("path", "change", "message", "left"),
    [
        ("image_splits/split.dress.val.json", lambda names: names.remove("dress2"), "photo 'dress2' is not in the gallery", 5),
        ("captions/cap.dress.val.json", lambda all_: all_[0].update(target="dress0"), "reference and target are one photo", 5),
        ("captions/cap.dress.val.json", lambda all_: all_[0].update(captions=["\u200b", "\u00a0"]), "the wish is empty", 5),
        ("captions/cap.dress.val.json", lambda all_: all_.append(all_[0]), "a second query dress0 dress1", None),
    ],
)
def test_queries_that_cannot_be_answered_are_refused_or_counted(tmp_path, monkeypatch, path, change, message, left):
    monkeypatch.setattr(fashioniq, "PUBLISHED", {})
    root = small_fashioniq(tmp_path)
    change(entries := json.loads((root / path).read_text()))
    write(root / path, entries)
    with pytest.raises(InputError, match=message):
        load_fashioniq(root, root / "images")
    if left:
        assert len(load_fashioniq(root, root / "images", missing="skip")) == left


def test_annotations_with_a_byte_order_mark_are_read_and_repeated_keys_refused(tmp_path):
    images = small_cirr(tmp_path)
    for path in tmp_path.rglob("*.json"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_cirr(tmp_path, images, missing="skip")) == 2
    listed = tmp_path / "image_splits/split.rc2.val.json"
    listed.write_text('{"dev-0": "a", "dev-0": "b"}')
    with pytest.raises(InputError, match="names 'dev-0' twice"):
        load_cirr(tmp_path, images, missing="skip")


def test_wrong_fashioniq_options(tmp_path):
    root = small_fashioniq(tmp_path)
    write(root / "captions/cap.dress.test.json", [])
    for options, message in (
        ({"gallery": "half"}, "choose original or val-union"),
        ({"missing": "maybe"}, "choose error or skip"),
        ({"split": "test"}, "not published; evaluate on --split val"),
    ):
        with pytest.raises(InputError, match=message):
            load_fashioniq(root, root / "images", **options)
    with pytest.raises(InputError, match="give the folder of the published annotations by --annotations"):
        load_fashioniq(tmp_path / "images", root / "images")
    with pytest.raises(InputError, match="holds no photos"):
        load_fashioniq(root, root / "captions")


def small_cirr(root, split="val"):
    names = [f"dev-{i}" for i in range(8)]
    query = {"reference": "dev-1", "target_hard": "dev-3", "target_soft": {"dev-3": 1.0}, "caption": "two of them"}
    sets = [names[:6], [names[i] for i in (7, 2, 4, 0, 5, 6)]]
    entries = [
        {"pairid": 12, **query, "img_set": {"id": 0, "members": sets[0]}},
        {
            "pairid": 13,
            "reference": "dev-7",
            "target_hard": "dev-2",
            "caption": "a pug",
            "img_set": {"id": 1, "members": sets[1]},
        },
    ]
    if split == "test1":
        for entry in entries:
            del entry["target_hard"]
    write(root / f"captions/cap.rc2.{split}.json", entries)
    write(root / f"image_splits/split.rc2.{split}.json", {name: f"./dev/{name}.png" for name in names})
    return photos(root / "dev", names, ".png")


def test_cirr_leaves_the_reference_out_and_has_its_subsets(tmp_path):
    images = small_cirr(tmp_path)
    with pytest.raises(InputError, match="CIRR val queries: 2 in these annotations, 4,181 as published"):
        load_cirr(tmp_path, images)
    task = load_cirr(tmp_path, images, missing="skip")
    assert task.exclude_reference and len(task.images) == 8 and task.recall_ks == (1, 5, 10, 50)
    assert [task.image_names[row] for row in task.subset[0]] == ["dev-3", "dev-0", "dev-2", "dev-4", "dev-5"]
    assert [task.image_names[row] for row in task.subset[1]] == ["dev-2", "dev-4", "dev-0", "dev-5", "dev-6"]
    assert task.answers[1].tolist() == [2] and task.references.tolist() == [1, 7]


def test_cirr_submission_follows_the_servers_format(tmp_path):
    task = load_cirr(tmp_path, small_cirr(tmp_path, "test1"), split="test1")
    assert task.answers is None and task.subset.shape == (2, 5)
    files = cirr.write_submission(tmp_path, task, np.array([[3, 0, -1], [2, 1, 4]]), np.array([[3, 0, 2], [2, 4, 0]]))
    recall, subset = (json.loads(path.read_text()) for path in files)
    assert recall == {"version": "rc2", "metric": "recall", "12": ["dev-3", "dev-0"], "13": ["dev-2", "dev-1", "dev-4"]}
    assert (subset["metric"], subset["13"]) == ("recall_subset", ["dev-2", "dev-4", "dev-0"])


def small_circo(root, split="val"):
    ids = [17, 23, 170099, 4]
    entry = {"id": 0, "reference_img_id": 17, "relative_caption": "is at night", "shared_concept": "a street"}
    hidden = {} if split == "test" else {"target_img_id": 4, "gt_img_ids": [4, 23]}
    write(root / f"annotations/{split}.json", [{**entry, **hidden}])
    listed = [{"id": i, "file_name": f"{i:012d}.jpg"} for i in ids]
    write(root / "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json", {"images": listed})
    return photos(root / "unlabeled2017", [f"{i:012d}" for i in ids])


def test_circo_has_several_answers_and_recalls_count_the_first(tmp_path):
    images = small_circo(tmp_path)
    with pytest.raises(InputError, match="220 as published"):
        load_circo(tmp_path, images)
    task = load_circo(tmp_path, images, missing="skip")
    assert task.answers[0].tolist() == [3, 1] and task.recall_answers[0].tolist() == [3]
    assert not task.exclude_reference and task.map_ks == (5, 10, 25, 50)
    hidden = load_circo(tmp_path, small_circo(tmp_path, "test"), split="test", missing="skip")
    assert hidden.answers is None
    (path,) = circo.write_submission(tmp_path, hidden, np.array([[2, 0, -1]]))
    assert json.loads(path.read_text()) == {"0": [170099, 17]}


def small_fashion200k(root):
    lines = {
        "women/a/1.jpeg": "black leather jacket",
        "women/a/2.jpeg": "red leather jacket",
        "women/b/3.jpeg": "red leather jacket",
        "women/b/4.jpeg": "v. long dress",
    }
    write(root / "labels/jacket_test_detect_all.txt", "".join(f"{name}\t0.9\t{text}\n" for name, text in lines.items()))
    write(root / "test_queries.txt", "women/a/1.jpeg women/a/2.jpeg\nwomen/a/2.jpeg women/b/4.jpeg\n")
    for name in lines:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PHOTO)
    return root


def test_fashion200k_follows_tirg(tmp_path):
    root = small_fashion200k(tmp_path)
    task = load_fashion200k(root, root)
    assert task.wordings == [["replace black with red", "replace red with vdotmark"]]
    assert [rows.tolist() for rows in task.answers] == [[1, 2], [3]]  # every photo with the target's caption is right
    assert task.exclude_reference and task.references.tolist() == [0, 1]
    (root / "women/b/4.jpeg").unlink()
    with pytest.raises(InputError, match="lacks 1 of 4 photos, women/b/4.jpeg for one"):
        load_fashion200k(root, root)
    skipped = load_fashion200k(root, root, missing="skip")
    assert skipped.facts["coverage"]["queries"] == {"used": 1, "annotated": 2, "published": None}


def test_fashion200k_modifications():
    assert modification("black leather jacket", "red leather jacket") == "replace black with red"
    assert modification("blue dress", "blue long dress") == "replace dress with long"  # no word differs: the last one


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("labels/jacket_test_detect_all.txt", "only one column\n", "line 1: needs path, score and caption"),
        ("test_queries.txt", "women/a/1.jpeg\n", "line 1: needs two photo paths"),
    ],
)
def test_damaged_fashion200k_files(tmp_path, path, content, message):
    root = small_fashion200k(tmp_path)
    write(root / path, content)
    with pytest.raises(InputError, match=message):
        load_fashion200k(root, root)
