"""The study `tags`: which photos the nearest tag text fits, counted by hand."""

import dataclasses

import numpy as np
import pytest

from e2.benchmarks.studies.intervals import value
from e2.benchmarks.studies.tags import MEAN, accuracies
from e2.data.product import Product
from e2.settings import merged
from tests.benchmarks.stubs import Shelf, colour_encoder, png


def test_accuracies_are_those_counted_by_hand(context):
    """The encoder takes green for red; black is too rare to count; a product without the tag does not."""
    colours = ["red"] * 6 + ["green"] * 5 + ["blue"] * 5 + ["black"] * 2
    tags = [{"colour": colour, "shade": ("blue", "red")[colour == "red"]} for colour in colours]
    tags[0] = {"shade": "red"}
    products = [Product(str(i), (png(c),), (c,), own) for i, (c, own) in enumerate(zip(colours, tags, strict=True))]
    common = merged(context.common, {"data": {"tags": ["colour", "shade"]}})
    context = dataclasses.replace(context, common=common)
    found = accuracies(colour_encoder(confused=True), Shelf(products, tags=("colour", "shade")), context)
    assert found.metrics["colour_accuracy"] == pytest.approx(100 * 10 / 15)
    # of shade, values blue and red, green photos are read as red and black ones, as far from either, as the more frequent
    assert found.metrics["shade_accuracy"] == pytest.approx(100 * 13 / 18)
    assert found.metrics[MEAN] == pytest.approx(50 * (10 / 15 + 13 / 18))
    assert found.metrics["colour_image_accuracy"] == found.metrics["colour_accuracy"]
    assert found.metrics["shade_majority"] == pytest.approx(100 * 12 / 18)
    for name, items in found.items.items():
        assert value(items) == pytest.approx(found.metrics[name]), name
    assert np.isnan(found.items["colour_accuracy"][[0, 16, 17]]).all()
