"""Both ways make views of the model's size, and are timed by this process's own seconds."""

import time

import torch

from e2.benchmarks.speed.photo_views import processor_seconds, run


def test_both_ways_are_timed():
    threads = torch.get_num_threads()
    found = run(4, 2, width=60, height=80)
    torch.set_num_threads(threads)
    assert 0 < found["ratio_min"] <= found["ratio"] <= found["ratio_max"]
    assert found["e2_per_core_second"] > 10 and found["open_clip_per_core_second"] > 10


def test_time_in_which_nothing_is_computed_does_not_count():
    assert processor_seconds(lambda file: time.sleep(0.05), [b""] * 3) < 0.1
