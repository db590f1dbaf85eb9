"""R@10 of searches that keep the garment: by hand from a filter, and better than the vector alone."""

import json

import numpy as np
import pytest

from e2.adapters.composed.base import References
from e2.adapters.composed.methods import make_composer
from e2.adapters.encoder import load_encoder
from e2.benchmarks.composed.evaluate_keeping import TOP, WAYS, Swaps, main, measured
from e2.data import open_catalogue

TAGS = "brand,season,colour"


@pytest.fixture(scope="module")
def swaps(tiny, shop):
    encoder = load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)
    catalogue = open_catalogue(str(shop), "train", tags=tuple(TAGS.split(",")))
    return Swaps(encoder, catalogue, ("season",), size=30)


def test_answers_are_those_of_the_naive_ranking(swaps):
    vectors, names = swaps.products.store.vectors
    composer = make_composer("sum", swaps.encoder)
    asked = composer.composed(References(swaps.encoder, None, swaps.features), [query.wishes[0] for query in swaps.queries])
    expected = []
    for query, vector in zip(swaps.queries, asked.vectors, strict=True):
        order = [names[row] for row in np.argsort(-(vectors @ vector), kind="stable") if names[row] != query.reference]
        expected.append(float(bool(set(order[:TOP]) & set(query.answers))))
    found = swaps.found("sum")
    assert found["vector"].tolist() == expected
    assert 0 < found["vector"].mean() < found["known"].mean()


def test_the_command_writes_what_it_measured(swaps, tiny, shop, tmp_path, capsys):
    out = tmp_path / "keeping.json"
    main(f"open_clip:{tiny}", str(shop), out, method=["sum"], split="train", tags=TAGS, keep="season", size=30)
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["methods"] == {"sum": measured(swaps, "sum")} and written["queries"] == len(swaps.queries)
    assert set(written["methods"]["sum"]) == set(WAYS) and "known" in capsys.readouterr().out
