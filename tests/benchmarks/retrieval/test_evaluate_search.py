"""Queries of each kind and what they find, against a naive ranking; the command."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from e2.adapters.encoder import load_encoder
from e2.adapters.search.build import build_index
from e2.adapters.search.hybrid import hybrid_search
from e2.adapters.search.index import open_index
from e2.benchmarks.retrieval import evaluate_search
from e2.benchmarks.retrieval.evaluate_search import KINDS, TOP, Asked, measured, products_of, queries, share_found, with_gaps
from e2.data import open_catalogue

TAGS = ("brand", "season", "colour")


@pytest.fixture(scope="module")
def encoder(tiny):
    return load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)


@pytest.fixture(scope="module")
def place(encoder, shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search") / "index"
    build_index(encoder, open_catalogue(str(shop), "train", tags=TAGS), folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def index(place, encoder):
    opened = open_index(place, encoder)
    yield opened
    opened.close()


def test_queries_are_of_the_products_and_know_what_is_right(index):
    products = products_of(index)
    assert sorted(product.product_id for product in products) == [product.product_id for product in products]
    by_id = {product.product_id: product for product in products}
    for kind in KINDS:
        asked = queries(products, kind, size=20)
        assert len(asked) == len({query.product for query in asked}) == 20
        assert all(query.product in query.right for query in asked)
    for right, wrong in zip(queries(products, "a tag", size=5), queries(products, "a tag", size=5), strict=True):
        assert right == wrong  # the seed decides
    for query in queries(products, "two tags", size=20):
        fitting = [
            name for name, product in by_id.items() if all(word in product.tags.values() for word in query.words.split(" "))
        ]
        assert query.right <= set(fitting)
    for query in queries(products, "a description with a letter wrong", size=20):
        own = by_id[query.product].caption
        assert len(query.words) == len(own) and sum(a != b for a, b in zip(query.words, own, strict=True)) == 1
    for query in queries(products, "half of its words", size=20):
        assert len(query.words.split()) == len(by_id[query.product].caption.split()) // 2


def test_the_share_of_ten_is_of_as_many_as_can_be_there():
    assert share_found([str(n) for n in range(20)], frozenset("159")) == 1
    assert share_found([str(n) for n in range(20)], frozenset({"1", "15"})) == 0.5
    assert share_found([str(n) for n in range(20)], frozenset(str(n) for n in range(5, 30))) == 0.5


def test_ways_are_those_of_search_and_of_a_naive_ranking(index, encoder, tmp_path):
    products = products_of(index)
    gaps = with_gaps(index, products, tmp_path / "gaps")
    hidden = [hit for hit in gaps.get([product.product_id for product in products]) if not hit.caption and not hit.tags]
    assert len(hidden) == len(products) // 2
    asked = queries(products, "a tag", size=15)
    found = measured(encoder, (index, gaps), asked)
    vectors, texts = np.stack([product.vector for product in products]), encoder.encode_texts([query.words for query in asked])
    near = [[products[row].product_id for row in np.argsort(-(vectors @ text))[:TOP]] for text in texts]
    both = [[hit.product_id for hit in hybrid_search(index, text[None], query.words, TOP).hits]
            for text, query in zip(texts, asked, strict=True)]  # fmt: skip
    for way, lists in (("vectors", near), ("both", both)):
        naive = 100 * np.mean([share_found(hits, query.right) for hits, query in zip(lists, asked, strict=True)])
        assert found[way]["R@10"] == pytest.approx(naive, abs=0.01)
    assert found["both"]["R@10"] > found["both, half without texts"]["R@10"]
    named = measured(encoder, (index, gaps), [Asked(products[0].product_id, "0", frozenset({products[0].product_id}))])
    assert named["both"] == named["both, half without texts"] == {"R@10": 100.0, "ci95": [100.0, 100.0]}
    gaps.close()


def test_the_command_writes_what_it_measured(place, tiny, tmp_path):
    app = typer.Typer()
    app.command()(evaluate_search.main)
    out = tmp_path / "search.json"
    done = CliRunner().invoke(app, ["--index", str(place), "--out", str(out), "--encoder", f"open_clip:{tiny}", "--size", "5"])
    written = json.loads(out.read_text(encoding="utf-8"))
    assert done.exit_code == 0 and list(written["kinds"]) == list(KINDS) and set(written["queries"].values()) == {5}
    assert all(line in done.output for line in KINDS)
