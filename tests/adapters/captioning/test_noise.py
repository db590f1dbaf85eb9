"""CapDec's noise: the fixture with the same draws, the geometry it promises, and its calibrations on made corpora."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from e2.adapters.captioning import noise
from e2.adapters.captioning.noise import (
    add_noise,
    cosine_of_variance,
    variance_of_cosine,
    variance_of_gap,
    variance_of_like_texts,
)
from e2.errors import InputError
from tests.shared import FIXTURES


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("width", [64, 512])
@pytest.mark.parametrize("cosine", [0.3, 0.7, 0.95])
def test_a_target_cosine_is_met(width, cosine):
    torch.manual_seed(5)
    clean = unit(2000, width)
    variance = variance_of_cosine(cosine, width)
    noisy = add_noise(clean, variance)
    assert (noisy * clean).sum(dim=1).mean().item() == pytest.approx(cosine, abs=0.02)
    assert cosine_of_variance(variance, width) == pytest.approx(cosine)
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(2000))


def test_like_texts_give_the_square_of_their_greatest_difference():
    centres = np.eye(8, dtype=np.float32)[:4]
    texts = np.concatenate([centres, centres])
    texts[4:, 7] = 0.25
    groups = np.array([0, 1, 2, 3, 0, 1, 2, 3])
    assert variance_of_like_texts(texts, groups) == pytest.approx(0.25**2)
    assert variance_of_like_texts(texts, None) == pytest.approx(0.25**2)  # each one's nearest is its like
    assert variance_of_like_texts(texts, np.full(8, -1)) == pytest.approx(0.25**2)
    with pytest.raises(InputError, match="two distinct texts"):
        variance_of_like_texts(texts[:1], None)


def test_the_gap_gives_noise_as_far_as_the_photos_are():
    texts, images = unit(500, 32).numpy(), F.normalize(unit(500, 32) + 0.8 * unit(500, 32, seed=1), dim=-1).numpy()
    torch.manual_seed(5)
    noisy = add_noise(torch.from_numpy(texts), variance_of_gap(texts, images)).numpy()
    assert (noisy * texts).sum(axis=1).mean() == pytest.approx((images * texts).sum(axis=1).mean(), abs=0.03)
    with pytest.raises(InputError, match="does not match"):
        variance_of_gap(texts, -texts)


@pytest.mark.parametrize("cosine", [0.0, -0.2, 1.5])
def test_impossible_cosines_are_refused(cosine):
    with pytest.raises(InputError, match="target cosine"):
        variance_of_cosine(cosine, 64)


def test_fixture_capdec_noise(monkeypatch):
    given = {name: torch.from_numpy(array) for name, array in np.load(FIXTURES / "captioning/capdec_noise.npz").items()}
    monkeypatch.setattr(noise.torch, "randn_like", lambda x: given["noise_normal"])
    monkeypatch.setattr(noise.torch, "rand", lambda *shape, **options: given["noise_uniform"].reshape(shape))
    x, offset = given["x"], given["modality_offset"]
    cases = {
        "gauss_v0.001": add_noise(x, 0.001),
        "gauss_v0.016": add_noise(x, 0.016),
        "gauss_v0.5": add_noise(x, 0.5),
        "gauss_v0.016_dont_norm": add_noise(x, 0.016, normalize=False),
        "gauss_v0.016_offset": add_noise(x, 0.016, offset=offset),
        "gauss_v0.016_offset_dont_norm": add_noise(x, 0.016, offset=offset, normalize=False),
        "ball_v0.016": add_noise(x, 0.016, uniform=True),
        "ball_v0.25": add_noise(x, 0.25, uniform=True),
        "ball_v0.25_offset_dont_norm": add_noise(x, 0.25, uniform=True, offset=offset, normalize=False),
        "gauss_v0": add_noise(x, 0.0, offset=offset),
    }
    for name, found in cases.items():
        torch.testing.assert_close(found, given[name], atol=1e-6, rtol=0, msg=name)
