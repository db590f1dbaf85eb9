"""The cache: one process makes what several want."""

import threading

from e2.data import cache
from e2.data.cache import one_at_a_time


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
