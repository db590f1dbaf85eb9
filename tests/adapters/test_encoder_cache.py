"""Photos read from the cache of a frozen tower give the vectors that they give from pixels."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from torch import nn

import e2
from e2.adapters.encoder import Encoder
from e2.adapters.encoder_cache import CachedEncoder, from_cache
from e2.adapters.product_images import ProductImages
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf
from tests.conftest import TAGS, jpeg


@pytest.fixture
def shelf() -> Shelf:
    """Nine products of one, two or three photos."""
    photos = [[jpeg((25 * row, 90, 200), 3 * row + i) for i in range(1 + row % 3)] for row in range(9)]
    return Shelf([Product(f"p{row}", own, (f"product {row}",)) for row, own in enumerate(photos)])


def make_encoder(backbone: str, **layout) -> Encoder:
    model, _, preprocess = e2.create_model_and_transforms(backbone, tags=TAGS if layout else (), **layout)
    for p in model.new_parameters():  # gates and shares start at zero
        nn.init.normal_(p, std=0.1)
    return Encoder(model, preprocess, None, {"path": "here"}, device="cpu", precision="bf16", batch_size=4, workers=0)


LAYOUTS = [{}, *({"locations": where, "gates": gates} for where in ("local", "patches") for gates in ("stream", "pooled"))]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(layout.values()) or "clip")
@pytest.mark.parametrize("trained_groups", [0, 2])
def test_vectors_from_the_cache_are_those_from_pixels(tiny, shelf, tmp_path, layout, trained_groups):
    plain = make_encoder(tiny, **layout)
    learning = [p.requires_grad for p in plain.model.parameters()]
    cached = from_cache(plain, shelf, tmp_path, trained_groups)
    assert isinstance(cached, CachedEncoder) and [p.requires_grad for p in plain.model.parameters()] == learning
    photos = ProductImages(shelf, np.array([8, 0, 4, 5, 5, 2]), np.array([2, 0, 1, 0, 2, 1]))
    runs = []
    plain.model.visual.conv1.register_forward_hook(lambda *_: runs.append(1))
    found = cached.encode_images(photos)
    assert not runs
    assert_array_equal(found, plain.encode_images(photos))
    if layout:
        assert_array_equal(cached.encode_regions(photos), plain.encode_regions(photos))
    others = [shelf[3].images[0]]
    assert_array_equal(cached.encode_images(others), plain.encode_images(others))


def test_photo_that_cannot_be_read_is_named(tiny, shelf, tmp_path):
    shelf.products[4] = dataclasses.replace(shelf[4], images=[b"no photo"])
    with pytest.raises(InputError, match="product 'p4'"):
        from_cache(make_encoder(tiny), shelf, tmp_path, 0)
