"""torchvision's decoder: Pillow's pixels where it takes a photo, Pillow's own word on every other one."""

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from e2.data import decoders, open_catalogue
from e2.data.decoders import PILLOW, TORCHVISION
from e2.data.images import BadImage, load_image, load_pixels
from e2.data.loader import TrainingViews
from e2.data.rgb import ORIENTATION
from e2.data.transforms import training_transform
from e2.factory import create_model_and_transforms
from tests.command import run_command
from tests.e2.data.conftest import encoded, photo

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")


def smooth(width=60, height=80):
    return photo(3, (6, 8)).resize((width, height), Image.Resampling.BICUBIC)


def turned(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return {"exif": exif}


@pytest.mark.parametrize(
    ("picture", "options"),
    [
        (smooth(), {"quality": 85}),
        (smooth(61, 83), {"quality": 30, "subsampling": "4:2:0"}),
        (smooth(), {"quality": 95, "subsampling": "4:4:4", "progressive": True}),
        (smooth().convert("L"), {}),
        (smooth(), turned(1)),
    ],
)
def test_pixels_are_those_of_pillow(picture, options):
    data = encoded(picture, **options)
    pixels, theirs = load_pixels(data), np.asarray(load_image(data), int)
    assert isinstance(pixels, Tensor)
    ours = pixels.permute(1, 2, 0).numpy().astype(int)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() <= 0.5 and np.abs(ours - theirs).max() <= 4  # equal where both use one libjpeg


@pytest.mark.parametrize(
    ("picture", "kind", "options"),
    [
        (Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", {}),
        (Image.new("RGBA", (32, 32), (255, 0, 0, 9)), "PNG", {}),
        (Image.new("I;16", (32, 32), 128 << 8), "PNG", {}),
        (smooth(), "WEBP", {}),
        (smooth(630, 30), "JPEG", {}),
        *((smooth(), "JPEG", turned(orientation)) for orientation in range(2, 9)),
    ],
)
def test_what_it_does_not_take_is_left_to_pillow(picture, kind, options):
    data = encoded(picture, kind, **options)
    assert np.array_equal(np.asarray(load_pixels(data)), np.asarray(load_image(data)))
    assert isinstance(load_pixels(data), Image.Image)


def test_large_photos_are_shrunk_by_pillow_while_it_decodes():
    data = encoded(smooth(1600, 1200))
    assert np.array_equal(np.asarray(load_pixels(data, 150)), np.asarray(load_image(data, 150)))
    assert load_pixels(data, 150).size == (400, 300) and load_pixels(data, 400).shape == (3, 1200, 1600)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", encoded(smooth())[:-40], encoded(smooth())[:300], encoded(smooth(), "PNG")[:-60], encoded(smooth()) * 600],
    ids=["empty", "text", "cut", "cut early", "cut png", "scans"],
)
def test_a_bad_photo_has_one_reason_whatever_decodes(data):
    causes = []
    for load in (load_image, load_pixels):
        with pytest.raises(BadImage) as found:
            load(data)
        causes.append(found.value.cause)
    assert causes[0] == causes[1]


@pytest.mark.parametrize("resize_mode", ["squash", "shortest"])
@pytest.mark.parametrize("fixed", [None, 1])
def test_training_sees_the_same_views_and_a_cache_tells_them_apart(shop, tiny, resize_mode, fixed):
    visual = create_model_and_transforms(tiny)[0].visual
    visual.preprocess_cfg = {**visual.preprocess_cfg, "resize_mode": resize_mode}
    transforms = [training_transform(visual, "strong", decoder) for decoder in (PILLOW, TORCHVISION)]
    assert repr(transforms[0]) != repr(transforms[1])
    catalogue, options = open_catalogue(str(shop), "train"), {"text": "caption", "prompt": "{tag}", "seed": 0, "views": fixed}
    pillow, other = (TrainingViews(catalogue, transform, (), **options) for transform in transforms)
    for row in range(4):
        assert (pillow[(0, row)].image - other[(0, row)].image).abs().mean() <= 0.01  # of values with unit variance


@pytest.mark.parametrize(("augment", "resize_mode"), [("none", "squash"), ("light", "longest")])
def test_views_that_pillow_resizes_are_left_to_it(tiny, augment, resize_mode):
    visual = create_model_and_transforms(tiny)[0].visual
    visual.preprocess_cfg = {**visual.preprocess_cfg, "resize_mode": resize_mode}
    plain, asked = (training_transform(visual, augment, decoder) for decoder in (PILLOW, TORCHVISION))
    assert asked.decoder == PILLOW and repr(asked) == repr(plain)


def test_a_run_takes_it_and_refuses_one_that_is_not_there(shop, tiny, tmp_path, monkeypatch):
    options = ["--data", shop, "--backbone", tiny, "--tags", "brand", "--steps", 1, "--workers", 0, "--device", "cpu"]
    taken, load = [], decoders._decode_jpeg()
    monkeypatch.setattr("torchvision.io.decode_jpeg", lambda *args, **mode: taken.append(1) or load(*args, **mode))
    decoders._decode_jpeg.cache_clear()
    answer = run_command("train", *options, "--out", tmp_path / "run", "--set", "data.decoder=torchvision")
    assert answer.status == 0 and taken, answer
    monkeypatch.delattr("torchvision.io.decode_jpeg")
    decoders._decode_jpeg.cache_clear()
    answer = run_command("train", *options, "--out", tmp_path / "other", "--set", "data.decoder=torchvision")
    assert answer.status == 2 and "torchvision installed here decodes no JPEGs; take pillow" in answer.line
    answer = run_command("train", *options, "--out", tmp_path / "other", "--set", "data.decoder=gpu")
    assert answer.status == 2 and "pillow" in answer.line
