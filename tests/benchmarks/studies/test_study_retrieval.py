"""Per-product items of retrieval add up to the metrics, also where a product has several photos."""

import dataclasses

import numpy as np
import pytest

from e2.benchmarks.core.encoded import EncodedOnce
from e2.benchmarks.core.items import read_items
from e2.benchmarks.studies.groups import retrieval_and_neighbours
from e2.benchmarks.studies.intervals import value
from e2.benchmarks.studies.retrieval import all_protocols, retrieval
from e2.data.product import Product
from e2.errors import InputError
from e2.settings import merged
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


def test_neighbours_share_what_a_plain_count_says(context):
    """Against a count over the sorted similarities; ten tees of each colour, so that no others are among the nearest ten."""
    colours = ("red", "green", "blue", "white")
    brands = ("Nike", "Puma", "", "Nike", "Nike", "Puma", "", "Asics", "Puma", "Nike")
    products = [
        Product(f"{c}{n}", (png(c), png("blue")) if b == "Puma" else (png(c),), (f"a {c} tee",), {"brand": b, "colour": c})
        for n, b in enumerate(brands)
        for c in colours
    ]
    tagged = [dataclasses.replace(p, tags={k: v for k, v in p.tags.items() if v}) for p in products]
    entities = dataclasses.replace(context, common=merged(context.common, {"data": {"tags": ["brand", "colour"]}}))
    encoder, catalogue = colour_encoder(), Shelf(tagged, tags=("brand", "colour"))
    found = retrieval_and_neighbours(encoder, catalogue, entities)
    items = read_items(catalogue, "caption")
    images, texts = encoder.encode_images(items.images), encoder.encode_texts(items.texts)
    nearest = np.argsort(-(images @ texts.T), axis=1, kind="stable")[:, :10]
    for entity in ("brand", "colour"):
        shares = []
        for product, row in zip(items.image_products, nearest, strict=True):
            own = tagged[product].tags.get(entity)
            if own:
                shares.append(100 * np.mean([tagged[items.text_products[text]].tags.get(entity) == own for text in row]))
        name = f"same_{entity}@10"
        assert [found.metrics[name], value(found.items[name])] == pytest.approx([np.mean(shares)] * 2)
    assert found.metrics["SumR"] == retrieval(encoder, catalogue, entities).metrics["SumR"]


def test_neighbours_need_a_tag_to_share(context):
    catalogue = Shelf([dataclasses.replace(product, tags={"brand": "Nike"}) for product in shelf().products])
    with pytest.raises(InputError, match="no product has the tag season"):
        retrieval_and_neighbours(colour_encoder(), catalogue, context)


def test_images_are_encoded_once():
    encoder = colour_encoder()
    calls = []
    encoder.encode_images = lambda images, progress: calls.append(len(images)) or "vectors"
    once = EncodedOnce(encoder)
    assert once.encode_images([1, 2]) == once.encode_images([1, 2]) == "vectors" and calls == [2]
