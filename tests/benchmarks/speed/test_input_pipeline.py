import time

import pytest

from e2.benchmarks.speed import input_pipeline
from e2.benchmarks.speed.input_pipeline import waiting_and_working


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))


def test_waiting_is_told_from_working():
    def slow():
        for number in range(5):
            time.sleep(0.05)
            yield number

    waited, worked = waiting_and_working(slow(), 0.02)
    assert 0.2 <= waited < 2 and 0.08 <= worked < 2  # four batches after the first
    waited, worked = waiting_and_working(range(5), 0.02)
    assert waited < 0.02 and worked >= 0.08


def test_figures_hang_together(monkeypatch):
    monkeypatch.setattr(input_pipeline, "WIDTH", 60)
    monkeypatch.setattr(input_pipeline, "HEIGHT", 80)
    found = input_pipeline.run(24, 1, model_images_per_second=1.0e6, batch_size=4)
    for kind in ("table", "shards"):
        part = found[kind]
        assert part["cores_needed"] >= 1e6 / part["images_per_core_second"] > 10
        assert 0 < part["images_per_second"] < 1e6
        assert not part["keeps_up"] and part["waiting"] > 0.5  # a model that fast is fed by nobody
    assert found["loader_to_bare_ratio"] > 0.3 and found["shards_to_table_ratio"] > 0.1
