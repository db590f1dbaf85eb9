"""Baselines and caption joining, against recorded outputs; the interface that all methods share."""

import json

import numpy as np
import pytest

from e2.adapters.composed import METHODS, References, make_composer, query_preset
from e2.adapters.composed.baselines import slerp
from e2.adapters.unit_vectors import normalised
from e2.errors import InputError
from tests.shared import shared_path


def test_baselines_fixture():
    z = np.load(shared_path("fixtures/composed/f_baselines.npz"))
    np.testing.assert_allclose(normalised(normalised(z["image"]) + normalised(z["text"])), z["sum_normalised"], atol=1e-6)
    np.testing.assert_allclose(normalised(z["image"] + z["text"]), z["sum_unnormalised"], atol=1e-6)
    for place, weight in enumerate(z["alpha"]):
        double = slerp(z["image"].astype(np.float64), z["text"].astype(np.float64), float(weight))
        np.testing.assert_allclose(double, z["slerp"][:, place], atol=1e-9)
        np.testing.assert_allclose(slerp(z["image"], z["text"], float(weight)), z["slerp"][:, place], atol=1e-5)
        for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
            near = slerp(z["near_parallel_a"].astype(dtype), z["near_parallel_b"].astype(dtype), float(weight))
            np.testing.assert_allclose(near, z["near_parallel_slerp"][:, place], atol=tolerance)


def test_slerp_of_the_same_vector_is_it_and_of_opposite_ones_is_refused():
    one = np.eye(3, dtype=np.float32)[:2]
    np.testing.assert_allclose(slerp(one, one, 0.3), one, atol=1e-7)
    with pytest.raises(InputError, match="query 1: photo and wish point in exactly opposite"):
        slerp(one, one * [[1], [-1]], 0.5)


def test_caption_joining_fixture():
    entries = json.loads(shared_path("fixtures/composed/a_fashioniq_captions.json").read_text())
    assert len(entries) == 48
    for entry in entries:
        both, pic2word = query_preset("searle"), query_preset("pic2word")
        forward, backward = (both.prompt("$", wish) for wish in both.join(entry["captions"]))
        assert (forward, backward) == (entry["searle_forward"], entry["searle_reversed"])
        forward_only = query_preset("searle_forward")
        assert [forward_only.prompt("$", w) for w in forward_only.join(entry["captions"])] == [entry["searle_forward"]]
        assert [pic2word.prompt("*", wish) for wish in pic2word.join(entry["captions"])] == [entry["pic2word"]]
        assert query_preset("clip4cir").join(entry["captions"]) == [entry["clip4cir_val"]]
        assert query_preset("fame_vil").join(entry["captions"]) == [entry["fame_vil"]]


def photos(products, count=3):
    return [products[i].images[0] for i in range(count)]


def test_sums_are_what_they_say_and_given_features_serve_as_well_as_photos(encoder, products):
    images, wishes = photos(products), ["in red", "is blue", "with a hood"]
    i, t = encoder.encode_images(images, normalize=False), encoder.encode_texts(wishes, normalize=False)
    np.testing.assert_allclose(make_composer("raw-sum", encoder).compose(images, wishes), normalised(i + t), atol=1e-5)
    unit = i / np.linalg.norm(i, axis=1, keepdims=True)
    for name, expected in (
        ("sum", normalised(normalised(i) + normalised(t))),
        ("image", unit),
        ("slerp", slerp(unit, t, 0.8)),
    ):
        composer = make_composer(name, encoder)
        found = composer.compose(images, wishes)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(composer.compose(None, wishes, image_features=unit), expected, atol=1e-5)


def test_two_captions_are_averaged_over_both_orders(encoder, products):
    composer = make_composer("text", encoder, preset="searle")
    found = composer.compose(photos(products, 2), [("is red.", " has a hood"), "plain"])
    one, two, plain = encoder.encode_texts(["is red and has a hood", "has a hood and is red", "plain"])
    np.testing.assert_allclose(found[0], (one + two) / np.linalg.norm(one + two), atol=1e-6)
    np.testing.assert_allclose(found[1], plain, atol=1e-6)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("", "the wish of query 1 is empty; say what should differ"),
        (" . ", "the wish of query 1 is empty"),
        ("red " * 1250, "the wish of query 1 has 5,000 characters; keep it below 1,000"),
    ],
)
def test_wishes_that_say_nothing_or_too_much_are_refused(encoder, products, wish, message):
    with pytest.raises(InputError, match=message):
        make_composer("sum", encoder).compose(photos(products, 2), ["fine", wish])
    assert make_composer("image", encoder).compose(photos(products, 2), ["fine", wish]).shape == (2, 16)  # reads no wish


def test_wrong_input_is_named(encoder, products, tmp_path):
    composer = make_composer("sum", encoder)
    broken = tmp_path / "broken.jpg"
    broken.write_text("no image")
    for images, wishes, message in (
        ([broken], ["red"], "broken.jpg"),
        (photos(products, 2), ["red"], "2 reference photos but 1 wishes"),
        ([], [], "no reference photos"),
        (None, ["red"], "neither"),
    ):
        with pytest.raises(InputError, match=message):
            composer.compose(images, wishes)
    with pytest.raises(InputError, match="features of 1"):
        composer.compose(photos(products, 2), ["a", "b"], image_features=np.ones((1, 16)))
    with pytest.raises(InputError, match="photos themselves"):
        make_composer("raw-sum", encoder).compose(None, ["a"], image_features=np.ones((1, 16)))


def test_unknown_names_and_options_are_named(encoder):
    for call, message in (
        (lambda: make_composer("clip", encoder), "unknown method 'clip'; choose one of image, text, sum"),
        (lambda: make_composer("sum", encoder, preset="mine"), "unknown query preset 'mine'; choose one of bare"),
        (lambda: make_composer("sum", encoder, weight=1), "sum has no option 'weight'; it has preset"),
        (lambda: make_composer("slerp", encoder, text_weight=2), "must lie in 0..1"),
        (lambda: make_composer("lincir", encoder), "lincir has to be fitted first: e2 compose fit --method lincir"),
        (lambda: make_composer("slots", encoder), "slots needs vocabulary"),
        (lambda: make_composer("cirevl", encoder), "cirevl needs captions"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert set(METHODS) >= {"image", "text", "sum", "slerp", "pic2word", "searle", "lincir", "cirevl", "slots"}


def test_references_encode_once(encoder, products, monkeypatch):
    calls = []
    encode = encoder.encode_images
    monkeypatch.setattr(encoder, "encode_images", lambda images, **k: calls.append(1) or encode(images, **k))
    references = References(encoder, photos(products))
    for name in ("image", "sum", "slerp"):
        make_composer(name, encoder).composed(references, ["a", "b", "c"])
    assert len(calls) == 1
