"""The jitter against torchvision's, which goes over the photo once for each change."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from e2.data.colour_jitter import ColourJitter, jittered


@pytest.fixture
def photo() -> Image.Image:
    """Soft colours, far enough from black and white that nothing is cut on the way."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(70, 160, (6, 5, 3), dtype=np.uint8))
    return coarse.resize((40, 48), Image.Resampling.BICUBIC)


def pixels(photo: Image.Image) -> np.ndarray:
    return np.asarray(photo).astype(int)


@pytest.mark.parametrize("factors", [(0.8, 1, 1), (1, 1.3, 1), (1, 1, 0.5), (1.1, 0.9, 1.2)])
def test_brightness_contrast_and_saturation_are_torchvisions(photo, factors):
    brightness, contrast, saturation = factors
    theirs = functional.adjust_saturation(
        functional.adjust_contrast(functional.adjust_brightness(photo, brightness), contrast), saturation
    )
    ours = jittered(photo, brightness, contrast, saturation, 0.0)
    assert np.abs(pixels(ours) - pixels(theirs)).max() <= 3  # they round after each
    assert np.abs(pixels(ours) - pixels(photo)).max() > 5


@pytest.mark.parametrize("turn", [0.02, -0.05])
def test_hue_turns_as_torchvisions_does(photo, turn):
    """HSV is another colour wheel, so the changes point alike without being equal; luma and greys stay as they are."""
    ours = pixels(jittered(photo, 1, 1, 1, turn)) - pixels(photo)
    theirs = pixels(functional.adjust_hue(photo, turn)) - pixels(photo)
    assert (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum()) > 0.5
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(ours @ luma).max() < 1.5 < np.abs(ours).max()
    grey = Image.new("RGB", (4, 4), (90, 90, 90))
    assert pixels(jittered(grey, 1, 1, 1, turn)).tolist() == pixels(grey).tolist()


def test_nothing_changes_at_strength_zero(photo):
    assert np.array_equal(pixels(ColourJitter(0.0, 0.0)(photo)), pixels(photo))


def test_values_beyond_black_and_white_are_cut(photo):
    assert pixels(jittered(photo, 3, 1, 1, 0)).max() == 255
    assert pixels(jittered(photo, 1, 6, 1, 0)).min() == 0


def test_draws_come_from_torchs_generator_and_stay_in_range(photo):
    jitter = ColourJitter(0.3, 0.03)
    torch.manual_seed(1)
    first = pixels(jitter(photo))
    torch.manual_seed(1)
    assert np.array_equal(first, pixels(jitter(photo))) and not np.array_equal(first, pixels(jitter(photo)))
    means = [pixels(jitter(photo)).mean() / pixels(photo).mean() for _ in range(60)]
    assert 0.69 < min(means) < 0.8 and 1.2 < max(means) < 1.31
