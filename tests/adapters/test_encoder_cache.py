"""Photos read from the cache of a frozen tower give the vectors that they give from pixels."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

import e2
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.search.index import open_index
from e2.checkpoint import weights_of
from e2.data import open_catalogue
from e2.data.photo_views import PhotoViews
from e2.data.product import Product
from e2.errors import InputError
from e2.front import Front
from e2.training.fill_cache import CacheFiller, read_from_cache
from e2.training.run import start_run
from tests.benchmarks.stubs import Shelf
from tests.command import run_command
from tests.conftest import TAGS, jpeg


@pytest.fixture
def shelf() -> Shelf:
    """Nine products of one, two or three photos."""
    photos = [[jpeg((25 * row, 90, 200), 3 * row + i) for i in range(1 + row % 3)] for row in range(9)]
    return Shelf([Product(f"p{row}", own, (f"product {row}",)) for row, own in enumerate(photos)])


def make_encoder(backbone: str, *, precision: str = "bf16", cache=None, trained_groups: int = 0, **layout) -> Encoder:
    torch.manual_seed(0)
    model, _, preprocess = e2.create_model_and_transforms(backbone, tags=TAGS if layout else (), **layout)
    for p in model.new_parameters():  # gates and shares start at zero
        nn.init.normal_(p, std=0.1)
    kept = {"cache": cache, "trained_groups": trained_groups}
    options = {"device": "cpu", "precision": precision, "batch_size": 4, "workers": 0}
    return Encoder(model, preprocess, None, {"path": "here"}, **options, **kept)


LAYOUTS = [{}, *({"locations": where, "gates": gates} for where in ("local", "patches") for gates in ("stream", "pooled"))]
PHOTOS = np.array([8, 0, 4, 5, 5, 2]), np.array([2, 0, 1, 0, 2, 1])


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(layout.values()) or "clip")
@pytest.mark.parametrize("trained_groups", [0, 2])
def test_vectors_from_the_cache_are_those_from_pixels(tiny, shelf, tmp_path, layout, trained_groups):
    plain = make_encoder(tiny, **layout)
    cached = make_encoder(tiny, cache=tmp_path, trained_groups=trained_groups, **layout)
    learning = [p.requires_grad for p in plain.model.parameters()]
    photos = ProductImages(shelf, *PHOTOS)
    cached.encode_images(photos)
    assert [p.requires_grad for p in cached.model.parameters()] == learning
    runs = []
    cached.model.visual.conv1.register_forward_hook(lambda *_: runs.append(1))
    found = cached.encode_images(photos)
    assert not runs
    assert_array_equal(found, plain.encode_images(photos))
    if layout:
        assert_array_equal(cached.encode_regions(photos), plain.encode_regions(photos))
    others = [shelf[3].images[0]]
    assert_array_equal(cached.encode_images(others), plain.encode_images(others))


def test_vectors_in_full_precision_differ_by_no_more_than_half_precision(tiny, shelf, tmp_path):
    photos = ProductImages(shelf, *PHOTOS)
    found, expected = (make_encoder(tiny, precision="fp32", cache=root).encode_images(photos) for root in (tmp_path, None))
    assert 0 < np.abs(found - expected).max() < 2e-3


def test_other_weights_see_the_photos_themselves(tiny, shelf, tmp_path):
    cached, plain = (make_encoder(tiny, cache=root) for root in (tmp_path, None))
    photos = ProductImages(shelf, *PHOTOS)
    before = cached.encode_images(photos)
    other = {name: value + 0.02 * ("resblocks.0" in name) for name, value in weights_of(plain.model).items()}
    for encoder in (cached, plain):
        encoder.load_weights(other, tmp_path)
    assert_array_equal(cached.encode_images(photos), plain.encode_images(photos))
    assert np.abs(cached.encode_images(photos) - before).max() > 0.01


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_of_the_model_stays(tiny, shelf, tmp_path, training):
    """A text tower with dropout would otherwise draw its texts at random, as soon as a photo was read."""
    encoder = make_encoder(tiny, cache=tmp_path)
    encoder.model.train(training)
    for _ in range(2):  # an empty cache, then a full one
        encoder.cached._opened.clear()
        encoder.encode_images(ProductImages(shelf, *PHOTOS))
        assert {module.training for module in encoder.text_tower.transformer.modules()} == {training}


def test_catalogues_are_told_apart(tiny, shelf, tmp_path):
    plain, cached = make_encoder(tiny), make_encoder(tiny, cache=tmp_path)
    other = Shelf(shelf.products[::-1])
    for catalogue in (shelf, other, shelf):
        photos = ProductImages.first(catalogue)
        assert_array_equal(cached.encode_images(photos), plain.encode_images(photos))


def train(shop, tiny, folder, groups=0) -> tuple[Path, str]:
    """Trains a few steps from a cache: the run, and the cache."""
    options = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "backbone": tiny}
    settings = [f"optim.image_layers={groups}", "model.gates=pooled", "model.locations=patches", "optim.lr=1e-2"]
    cache = str(folder / "cache")
    start_run(folder / "run", {**options, "data.cache": cache, "steps": 3, "device": "cpu"}, settings=settings)
    return folder / "run", cache


@pytest.mark.parametrize("groups", [0, 2])
@pytest.mark.parametrize("backbone", ["test-tiny", "siglip"])
def test_what_training_kept_is_not_computed_again(shop, tiny, siglip, tmp_path, backbone, groups, monkeypatch):
    run, cache = train(shop, tiny if backbone == "test-tiny" else f"local-dir:{siglip}", tmp_path, groups)
    plain, cached = (load_encoder(run, device="cpu", workers=0, cache=root) for root in (None, cache))
    monkeypatch.setattr(CacheFiller, "_write", None)  # nothing is left to write
    for split in ("train", "val"):
        photos = ProductImages.first(open_catalogue(str(shop), split))
        found, expected = cached.encode_images(photos), plain.encode_images(photos)
        assert (found * expected).sum(axis=1).min() > 0.9999


def test_commands_read_what_training_kept(shop, tiny, tmp_path, monkeypatch):
    run, cache = train(shop, tiny, tmp_path)
    monkeypatch.setattr(CacheFiller, "_write", None)
    monkeypatch.setattr(Front, "run", None)  # no photo goes through the frozen layers
    how = ("--data", shop, "--tags", "brand,season,colour", "--cache", cache, "--device", "cpu", "--workers", "0")
    for line in (
        ("evaluate", "retrieval", "--model", run, "--split", "val"),
        ("index", "build", "--encoder", run, "--split", "train", "--out", tmp_path / "index"),
        ("index", "update", "--index", tmp_path / "index", "--split", "val"),
    ):
        answer = run_command(*line, *how)
        assert answer.status == 0, answer
    assert len(open_index(str(tmp_path / "index"))) == 72


def test_photo_that_cannot_be_read_is_named(tiny, shelf, tmp_path):
    shelf.products[4] = dataclasses.replace(shelf[4], images=[b"no photo"])
    with pytest.raises(InputError, match="product 'p4'"):
        make_encoder(tiny, cache=tmp_path).encode_images(ProductImages.first(shelf))


def test_photo_that_a_training_left_out_is_named(tiny, shelf, tmp_path):
    shelf.products[4] = dataclasses.replace(shelf[4], images=[b"no photo", *shelf[4].images[1:]])
    encoder = make_encoder(tiny, cache=tmp_path)
    encoder.model.lock_image_tower()
    pictures = PhotoViews(shelf, encoder.preprocess, on_bad_row="skip")
    fill = {"views": 1, "precision": "bf16", "workers": 0, "context": encoder.autocast}
    read_from_cache(pictures, tmp_path, encoder.model, encoder.model.front(), **fill)
    with pytest.raises(InputError, match="product 'p4': photo 1 could not be read"):
        encoder.encode_images(ProductImages.first(shelf))


def test_models_whose_activations_cannot_be_kept_are_refused(tiny, shelf, tmp_path):
    with pytest.raises(InputError, match="--cache serves checkpoints"):
        Encoder(nn.Linear(1, 1), lambda photo: photo, None, {"path": "graph"}, device="cpu", cache=tmp_path)
    early = make_encoder(tiny, cache=tmp_path, attention="full")
    with pytest.raises(InputError, match="--cache: this model's tokens reach"):
        early.encode_images(ProductImages.first(shelf))
