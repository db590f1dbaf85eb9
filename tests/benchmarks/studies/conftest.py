"""A context of trainings that take a moment."""

import pytest

from e2.benchmarks.studies.base import Context
from e2.config import TrainConfig
from e2.settings import from_dict


@pytest.fixture
def context(tiny, shop, tmp_path) -> Context:
    """One step of four products on the tiny backbone."""
    data = {"tags": ["brand", "season", "colour"], "batch_size": 4, "workers": 0}
    common = from_dict(TrainConfig, {"backbone": tiny, "steps": 1, "device": "cpu", "data": data})
    return Context(data=(str(shop),), out=tmp_path / "out", runs=tmp_path / "runs", common=common, split="val")
