"""Lines on stderr."""

import io

import pytest
from rich.console import Console

from e2.notes import say
from e2.training.runlog import in_short

LINE = "boutique:train=60,val=20,test=40,seed=1: read and checked first; its val split will choose the checkpoint of this run"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_breaks_a_line_between_words_and_a_file_keeps_it(terminal):
    file = io.StringIO()
    say(LINE, Console(file=file, force_terminal=terminal, width=80, color_system=None))
    lines = file.getvalue().splitlines()
    assert " ".join(map(str.strip, lines)) == LINE
    assert (max(map(len, lines)) <= 80) == terminal and (len(lines) == 1) != terminal


def test_a_validation_stands_on_one_line_of_a_terminal():
    told = in_short({"SumR": 422.73, "image_to_text_R@1": 46.25, "text_to_image_R@1": 35.46})
    assert told == "val SumR 422.7 (R@1 46.2 to text, 35.5 to image)"
    assert len(f"step 30000/60000: {told}, best so far") <= 80
