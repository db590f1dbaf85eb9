"""All ways make views of the model's size, and are timed by this process's own seconds."""

import time

import torch

from e2.benchmarks.speed.photo_views import processor_seconds, run


def test_all_ways_are_timed():
    threads = torch.get_num_threads()
    found = run(4, 2, width=60, height=80)
    torch.set_num_threads(threads)
    assert 0 < found["ratio_min"] <= found["ratio"] <= found["ratio_max"]
    assert 0 < found["decoder_ratio_min"] <= found["decoder_ratio"] <= found["decoder_ratio_max"]
    assert 0 < found["worker_ratio_min"] <= found["worker_ratio"] <= found["worker_ratio_max"] < 1
    assert all(found[f"{way}_per_core_second"] > 10 for way in ("e2", "e2_torchvision", "worker", "open_clip"))


def test_time_in_which_nothing_is_computed_does_not_count():
    assert processor_seconds(lambda file: time.sleep(0.05), [b""] * 3) < 0.1
