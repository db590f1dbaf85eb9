"""The memory's projection against its definition and the fixture, in float32 and float16, whole and in parts."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from e2.adapters.captioning import memory as memory_module
from e2.adapters.captioning.memory import nearest, project
from e2.errors import InputError
from tests.shared import shared_path


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def plain(images, memory, temperature):
    memory = memory.float()
    return F.normalize((images @ memory.T / temperature).softmax(dim=1) @ memory, dim=-1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("temperature", [0.01, 0.2, 1.0])
def test_projection_equals_its_definition_in_parts(monkeypatch, dtype, temperature):
    monkeypatch.setattr(memory_module, "FLOATS", 16 * 60)  # float16 parts of 60 rows, blocks of about 14
    monkeypatch.setattr(memory_module, "IMAGES", 70)
    images, memory = unit(150, 16), unit(501, 16, seed=1).to(dtype)
    torch.testing.assert_close(project(images, memory, temperature), plain(images, memory, temperature), atol=1e-5, rtol=0)


def test_nearest_is_the_first_of_the_most_similar(monkeypatch):
    monkeypatch.setattr(memory_module, "FLOATS", 40 * 30)
    memory = unit(101, 16, seed=1)
    memory[90] = memory[3]
    images = torch.cat([unit(39, 16), memory[90:91]])
    expected = (images @ memory.T).argmax(dim=1).numpy()
    expected[39] = 3
    assert nearest(images, memory).tolist() == expected.tolist()


def test_what_cannot_be_projected_is_refused():
    with pytest.raises(InputError, match="temperature 0"):
        project(unit(2, 8), unit(3, 8), 0.0)
    with pytest.raises(InputError, match="8 components, the memory 16"):
        project(unit(2, 8), unit(3, 16))


@pytest.mark.parametrize("scale", ["100", "150", "14.2857", "10"])
def test_fixture_decap_projection(scale):
    given = np.load(shared_path("fixtures/captioning/decap_projection.npz"))
    images, memory = torch.from_numpy(given["image_normalised"]), torch.from_numpy(given["support_normalised"])
    temperature = {"14.2857": 0.07}.get(scale, 1 / float(scale))
    np.testing.assert_allclose(project(images, memory, temperature), given[f"proj_s{scale}"], atol=1e-5)


def test_fixture_decap_projection_of_a_half_precision_memory():
    given = np.load(shared_path("fixtures/captioning/decap_projection.npz"))
    images, memory = torch.from_numpy(given["image_normalised"]), torch.from_numpy(given["support_fp16_normalised"])
    np.testing.assert_allclose(project(images, memory), given["proj_fp16mem_s100"], atol=1e-5)
    np.testing.assert_allclose(project(images, memory), given["proj_s100"], atol=5e-3)
