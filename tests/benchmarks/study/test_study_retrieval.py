"""Per-product items of retrieval add up to the metrics, also where a product has several photos."""

import pytest

from benchmarks.study.intervals import value
from benchmarks.study.retrieval import EncodedOnce, all_protocols, retrieval
from e2.data.product import Product
from tests.benchmarks.stubs import Shelf, colour_encoder, png


def shelf() -> Shelf:
    colours = ("red", "green", "blue", "white")
    photos = {"red": (png("red"), png("blue")), "green": (png("green"),), "blue": (png("blue"),), "white": (png("white"),) * 3}
    return Shelf([Product(c, photos[c], (f"a {c} tee",), {"sub_category": "Tees", "brand": "Nike"}) for c in colours])


def test_items_give_the_metrics(context):
    found = retrieval(colour_encoder(confused=True), shelf(), context)
    assert found.metrics.keys() == found.items.keys() and len(found.metrics) == 7
    for name, items in found.items.items():
        assert value(items) == pytest.approx(found.metrics[name]), name
    assert 0 < found.metrics["image_to_text_R@1"] < 100


def test_all_protocols_names_each_and_repeats_the_own_one(context):
    found = all_protocols(colour_encoder(), shelf(), context)
    assert found.metrics["SumR"] == found.metrics["full/caption/SumR"]
    assert "full/full/SumR" in found.metrics
    assert not any(name.startswith("sample-100") for name in found.metrics)  # four products fill no list


def test_images_are_encoded_once():
    encoder = colour_encoder()
    calls = []
    encoder.encode_images = lambda images, progress: calls.append(len(images)) or "vectors"
    once = EncodedOnce(encoder)
    assert once.encode_images([1, 2]) == once.encode_images([1, 2]) == "vectors" and calls == [2]
