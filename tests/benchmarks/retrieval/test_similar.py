"""Photos against photos: the same as counted by hand and by a plain loop; no photo finds itself."""

import json

import numpy as np
import pytest
import torch

from e2.benchmarks.retrieval.image_to_image import evaluate_image_to_image
from e2.benchmarks.retrieval.similar import NAMES, similar_hits, tag_groups
from e2.data.product import Product
from e2.errors import InputError
from e2.ranks import KS
from tests.benchmarks.stubs import Shelf, colour_encoder, png
from tests.command import run_command


def naive(images: np.ndarray, groups: np.ndarray) -> dict[int, list[float]]:
    """Values of each query, one photo after another, for galleries without ties."""
    found = {}
    for row, group in enumerate(groups):
        others = [i for i in range(len(groups)) if i != row]
        if group < 0 or not any(groups[i] == group for i in others):
            continue
        ranked = sorted(others, key=lambda i: -float(images[row] @ images[i]))
        right = [groups[i] == group for i in ranked]
        found[row] = [*(float(any(right[:k])) for k in KS), sum(right[:10]) / 10]
    return found


@pytest.mark.parametrize("block", [7, 512])
def test_values_are_those_of_a_plain_loop(monkeypatch, block):
    monkeypatch.setattr("e2.benchmarks.retrieval.similar.BLOCK", block)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 8))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    groups = rng.integers(-1, 12, 40)
    rows, values = similar_hits(torch.from_numpy(images), groups)
    expected = naive(images, groups)
    assert rows.tolist() == list(expected)
    np.testing.assert_allclose(values, list(expected.values()))


def test_by_hand_with_ties():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    rows, values = similar_hits(images, np.array([0, 1, 0, -1, 1]))
    assert rows.tolist() == [0, 1, 2, 4]
    table = dict(zip(NAMES, values.T.tolist(), strict=True))
    assert table["R@1"] == [0.5, 1, 0.5, 1]  # photo 3, of no group, is as near to photo 0 as photo 2
    assert table["P@10"] == [0.1] * 4


def test_nothing_to_find():
    rows, values = similar_hits(torch.eye(3), np.array([0, 1, -1]))
    assert len(rows) == 0 and values.shape == (0, len(NAMES))


def test_groups_are_those_of_equal_values():
    tags = [
        {"kind": "T-Shirt", "look": "casual | flat"},
        {"kind": "tee shirt", "look": "flat | casual"},
        {"kind": "T-Shirt", "look": "flat"},
        {"kind": "T-Shirt"},
    ]
    products = [Product(str(i), (b"",), ("a",), own) for i, own in enumerate(tags)]
    assert tag_groups(products, ["kind", "look"]).tolist() == [0, 0, 1, -1]
    assert tag_groups(products, ["kind"]).tolist() == [0, 0, 0, 0]


def test_three_tasks_of_a_catalogue(tmp_path):
    seen = [("red", "red", "tee"), ("red", "blue", "tee"), ("green", "green", "coat"), ("blue", "blue", "coat")]
    products = [
        Product(f"p{i}", (png(first), png(second)), ("a tee",), {"sub_category": kind, "colour": first})
        for i, (first, second, kind) in enumerate(seen)
    ]
    shelf = Shelf(products, tags=("sub_category", "colour"))
    encoders = [colour_encoder("confused", confused=True), colour_encoder("sound")]
    comparison = evaluate_image_to_image(encoders, shelf, out=tmp_path, resamples=20)
    record = comparison.results[1]
    assert record["queries"] == {"same_product": 8, "same_tags": 2, "same_garment": 4} and record["garment"] == "sub_category"
    # Red 0 finds red 0 or red 1: half a hit, twice. Red 1 and blue 1 are found after others. Green 2, blue 3: their own alone,
    # but for blue 3, as near to blue 1.
    assert record["metrics"]["same_product_R@1"] == pytest.approx(100 * (0.5 + 0.5 + 0 + 0 + 1 + 1 + 0.5 + 0.5) / 8)
    assert record["metrics"]["same_tags_R@1"] == 100
    assert record["metrics"]["same_garment_R@1"] == pytest.approx(100 * (1 + 1 + 1 / 3 + 1 / 3) / 4)
    (pair,) = comparison.differences
    assert pair["metrics"]["same_tags_R@1"] == pytest.approx(100 * (1 - 0.5))
    assert json.loads((tmp_path / "2_sound" / "metrics.json").read_text())["protocol"] == "image-to-image"
    lone = Shelf([Product(f"p{i}", (png("red"),), ("a",), {}) for i in range(3)], tags=())
    with pytest.raises(InputError, match="no product has a second photo"):
        evaluate_image_to_image(encoders[:1], lone)


def test_the_command(shop, tiny, tmp_path):
    line = f"evaluate retrieval --image-to-image --model open_clip:{tiny} --data {shop} --split val --device cpu --workers 0"
    done = run_command(*line.split(), "--tags", "colour", "--out", tmp_path / "out")
    assert done.status == 0 and "same tags R@1" in done.out, done
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["queries"]["same_tags"] > 0
    for other in ("--text full", "--qrels a.json", "--protocol first-photo", "--product-vector first"):
        assert "--image-to-image takes no texts" in run_command(*line.split(), *other.split()).line
