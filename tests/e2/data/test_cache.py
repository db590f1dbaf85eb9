"""The cache: one process makes what several want."""

import threading

import numpy as np
import pyarrow as pa
import pytest

from e2.data import cache
from e2.data.cache import one_at_a_time
from e2.errors import InputError


def test_who_waits_for_another_process_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cache, "TOLD_AFTER", 0.05)
    order = []

    def second():
        with one_at_a_time(tmp_path / "made", "draws the same catalogue"):
            order.append("second")

    with one_at_a_time(tmp_path / "made", "draws the same catalogue"):
        assert capsys.readouterr().err == ""
        waiting = threading.Thread(target=second)
        waiting.start()
        while not (said := capsys.readouterr().err):
            waiting.join(0.02)
        order.append("first")
    waiting.join()
    assert said == "waiting for another process that draws the same catalogue\n"
    assert order == ["first", "second"]


def test_a_spooled_table_is_the_same_and_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setenv("E2_CACHE", str(tmp_path))
    parts = [pa.table({"x": np.arange(1 << 20) + start, "y": pa.array(["a", None] * (1 << 19))}) for start in (0, 9)]
    before = pa.total_allocated_bytes()
    spooled = cache.spooled_table(iter(parts))
    assert spooled.equals(pa.concat_tables(parts)) and pa.total_allocated_bytes() - before < parts[0].nbytes / 10
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="set E2_CACHE to a folder"):
        cache.spooled_table(iter(parts))
