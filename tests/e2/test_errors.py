"""How a stopped training says what to do."""

import pytest

from e2.errors import TrainingStopped, going_on_with


def test_an_interrupted_part_names_the_command_around_it():
    with pytest.raises(TrainingStopped) as caught, going_on_with("e2 quickstart --resume", "clip: "):
        raise TrainingStopped("stopped at step 3 of 9", "--resume --out runs/clip")
    assert str(caught.value) == "clip: stopped at step 3 of 9; continue with e2 quickstart --resume"


def test_what_must_be_mended_first_is_said_whole():
    with pytest.raises(TrainingStopped) as caught, going_on_with("e2 app --demo"):
        raise TrainingStopped("loss is not finite at step 3; lower optim.lr or use --precision fp32")
    assert str(caught.value) == "loss is not finite at step 3; lower optim.lr or use --precision fp32"
