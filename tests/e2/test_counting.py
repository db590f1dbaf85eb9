"""Numbers with their nouns, and the messages that have them."""

import re

import pytest

from e2.counting import counted
from tests.command import run_command


@pytest.mark.parametrize(
    ("number", "noun", "told"),
    [
        (1, "product", "1 product"),
        (0, "product", "0 products"),
        (1200, "query", "1,200 queries"),
        (2, "wish", "2 wishes"),
        (2, "process", "2 processes"),
        (1.0, "epoch", "1 epoch"),
        (0.5, "epoch", "0.5 epochs"),
        (10.0, "epoch", "10 epochs"),
    ],
)
def test_a_number_and_its_noun(number, noun, told):
    assert counted(number, noun) == told


def test_one_of_something_is_told_in_the_singular(shop, tiny, tmp_path):
    run = tmp_path / "run"
    options = ("--tags", "brand", "--backbone", tiny, "--steps", "1", "--batch-size", "16", "--workers", "0")
    told = run_command("train", "--data", shop, *options, "--out", run)
    assert told.status == 0 and "1 step of 16" in told.err + told.out
    (tmp_path / "one.jsonl").write_text('{"product_id": "a", "caption": "a red tee", "image": "none.png"}\n')
    refused = run_command("data", "info", tmp_path / "one.jsonl")
    assert "1 of 1 row cannot be used" in refused.err or "there are no products" in refused.err
    assert not re.search(r"\b1 [a-z]+s of\b", told.err)
