"""How far long work is, told where no bar can be shown."""

import pytest

from e2 import progress


@pytest.mark.parametrize(
    ("every", "asked", "told"),
    [(0.0, True, "Photos: 0 of 1,200  Photos: 1 of 1,200  Photos: 2 of 1,200"), (60.0, True, ""), (0.0, False, "")],
)
def test_a_log_gets_lines_and_no_control_codes(every, asked, told, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", every)
    assert list(progress.with_progress(iter("abc"), "Photos", 1200, asked)) == ["a", "b", "c"]
    assert "  ".join(capsys.readouterr().err.splitlines()) == told


def test_lines_without_an_end_and_with_a_note(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    progress.LogLines("Reading", None).tell(5000, "loss 1.2")
    assert capsys.readouterr().err == "Reading: 5,000  loss 1.2\n"
