"""Shares of hits that a wish does not want: counted by tags and descriptions, none in searches; the committed figures."""

import json

import numpy as np
import pytest

from e2.adapters.encoder import load_encoder
from e2.benchmarks.composed.evaluate_wishes import PATTERNS, Shop, shares
from e2.data import open_catalogue
from tests.shared import ROOT

COMMITTED = ROOT / "benchmarks/results/composed/wishes.json"
LIMIT = 10  # percent of the first hits


@pytest.fixture(scope="module")
def small(tiny, shop):
    encoder = load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)
    return Shop(encoder, open_catalogue(str(shop), "train", tags=("brand", "season", "colour")))


@pytest.mark.parametrize("pattern", PATTERNS["colour"])
def test_searches_find_nothing_that_is_not_wanted(small, pattern):
    found = shares(small, "colour", pattern)
    assert found["search"] == 0 and found["wishes"] > 10
    assert 0 < found["words"] < 100  # an untrained encoder finds some of each colour


def test_questions_name_values_that_products_have_and_have_not(small):
    asked = list(small.questions("colour", "{other} not {value}", np.random.default_rng(0)))
    own = [small.tags[question.row]["colour"] == question.value.name for question in asked]
    assert 0.4 < np.mean(own) < 0.6
    assert all(small.tags[q.row]["colour"] not in q.wish.partition(" not ")[0] for q in asked)
    assert not list(small.questions("garment", "no {value}", np.random.default_rng(0)))  # a shop without such tags


def test_the_committed_figures_keep_every_pattern_below_the_limit():
    rows = json.loads(COMMITTED.read_text(encoding="utf-8"))["patterns"]
    assert set(rows) == {f"{kind}: {pattern}" for kind, patterns in PATTERNS.items() for pattern in patterns}
    assert all(row[way] < LIMIT for row in rows.values() for way in ("turned", "search"))
