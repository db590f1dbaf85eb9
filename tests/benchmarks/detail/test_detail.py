"""Queries of growing detail: relevance, ranks and order against naive versions, and the runner on a made-up encoder."""

import itertools
import json

import numpy as np
import pytest

from e2.benchmarks.detail.evaluate import Searcher, evaluate_detail, read_shelf, results_table
from e2.benchmarks.detail.metrics import fitting, greedy_order, write_query
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import run_command


def test_queries_are_written_like_full_texts():
    record = {"colour": "red", "brand": "Nike", "description": "A red tee."}
    assert write_query(["colour", "description", "brand"], record) == "red. A red tee. Nike"


def test_fitting_groups_by_all_listed_fields_and_leaves_out_what_lacks_one():
    records = [{"c": "red", "b": "x"}, {"c": "red", "b": "y"}, {"c": "red", "b": "x"}, {"c": "red"}, {"c": "blue", "b": "x"}]
    for fields in (["c"], ["c", "b"], ["b"]):
        groups = fitting(fields, records)
        for i, j in itertools.product(range(5), repeat=2):
            both = all(f in records[i] and f in records[j] for f in fields)
            same = both and all(records[i][f] == records[j][f] for f in fields)
            assert (groups[i] == groups[j] and groups[i] >= 0) == same


def test_greedy_adds_what_helps_most_and_breaks_ties_by_place():
    worth = {"a": 1.0, "b": 3.0, "c": 3.0}
    order, steps = greedy_order("abc", lambda chosen: sum(worth[field] for field in chosen))
    assert order == ["b", "c", "a"] and steps[0] == worth and steps[1] == {"a": 4.0, "c": 6.0}


def product(colour: str, number: int, **tags: str) -> Product:
    return Product(
        f"{colour}-{number}", (png(colour),), (f"item {number} in {colour}",), {"size": "M", "colour": colour, **tags}
    )


@pytest.fixture
def shelf() -> Shelf:
    products = [product(colour, number) for colour in COLOURS for number in range(2)]
    products[0] = Product("lost", (png("red"),), ("no tags",), {"colour": "red"})  # has no size
    return Shelf(products, tags=("size", "colour"))


def test_values_of_the_same_tokens_fit_each_other():
    products = [product("red", number, brand=brand) for number, brand in enumerate(("Nike", "nike", "NIKE", "Puma"))]
    searcher = Searcher(colour_encoder(), read_shelf(Shelf(products, tags=("brand",))))
    groups = fitting(["brand"], searcher.seen)
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_recall_by_hand(shelf, tmp_path):
    (record,) = evaluate_detail([colour_encoder()], shelf, shelf, out=tmp_path, resamples=100).results
    metrics = record["metrics"]
    # Sizes tell the encoder nothing (it reads red), colours all. Of two products of one colour either may come first.
    assert record["order"] == ["colour", "size", "description"] and record["n_queries"] == 10 and record["n_images"] == 10
    assert record["products_without_tags"] == 0
    assert record["products_with"] == {"colour": 10, "size": 9, "description": 10}
    assert metrics["matching_R@1_1"] == pytest.approx(100)
    assert metrics["exact_R@1_1"] == pytest.approx(50)
    assert metrics["exact_R@5_1"] == metrics["exact_R@10_1"] == 100
    assert record["steps"][0]["distinct_queries"] == 5
    assert record["steps"][0]["mean_fitting_products"] == pytest.approx(2)  # the red one without a size fits "red" too
    # The description tells the colour again, so that leaving either out loses nothing; the size never told anything.
    assert metrics["gain_colour"] == metrics["gain_size"] == metrics["gain_description"] == pytest.approx(0)
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(record))
    assert (tmp_path / "detail.png").stat().st_size > 5000


def test_each_field_is_judged_on_the_products_that_have_it(tmp_path):
    """As in a shop, no product has all of them; red and blue ones have a colour, the others a size."""
    products = [
        Product(
            f"{colour}-{number}", (png(colour),), ("thing",), {"colour": colour} if colour in "red blue" else {"size": "M"}
        )
        for colour in COLOURS
        for number in range(2)
    ]
    products += [Product("bare", (png("red"),), ("thing",), {})]  # no query, but a photo
    shelf = Shelf(products, tags=("colour", "size", "brand"))
    (record,) = evaluate_detail([colour_encoder()], shelf, shelf, resamples=50).results
    metrics, few = record["metrics"], len(COLOURS) - 2
    assert record["order"] == ["colour", "size", "description"] and record["fields_of_no_product"] == ["brand"]
    assert record["products_with"] == {"colour": 4, "size": 2 * few, "description": 4 + 2 * few}
    assert record["products_without_tags"] == 1 and record["steps"][0]["queries"] == 4
    found = (2 * 1 / 3 + 2 * 1 / 2) / (4 + 2 * few)  # the bare one is red, too; of a size no query has a colour to find by
    assert metrics["exact_R@1_1"] == pytest.approx(100 * found)
    assert metrics["gain_colour"] > 10 and metrics["gain_size"] == pytest.approx(0)
    assert np.isfinite(list(metrics.values())).all() and np.isfinite(list(record["ci95"].values())).all()


def test_what_fits_shrinks_and_long_texts_are_counted(shelf):
    shelf.products = [
        Product(p.product_id, p.images, ("shirt " * 100,), p.tags) if "2" in p.product_id or i % 2 else p
        for i, p in enumerate(shelf.products)
    ]
    (record,) = evaluate_detail([colour_encoder()], shelf, shelf, resamples=20).results
    sizes = [step["mean_fitting_products"] for step in record["steps"]]
    assert sizes == sorted(sizes, reverse=True)
    cut = {tuple(step["fields"]): step["texts_cut"] for step in record["steps"]}
    assert min(cut.values()) == 0 and max(cut.values()) == pytest.approx(100 * 5 / 10)


def test_encoders_share_one_order_and_are_paired(shelf, tmp_path):
    encoders = [colour_encoder("runs/confused", confused=True), colour_encoder("runs/good")]
    comparison = evaluate_detail(encoders, shelf, shelf, out=tmp_path, resamples=100)
    first, second = comparison.results
    assert first["order"] == second["order"]
    (difference,) = comparison.differences
    # Green photos look red: "green" ties with all ten at 0, "red" with two more at 1.
    assert difference["metrics"]["matching_R@1_1"] > 0
    low, high = difference["ci95"]["matching_R@1_1"]
    assert low <= difference["metrics"]["matching_R@1_1"] <= high
    assert results_table(comparison).row_count == 2 * 3 + 3
    assert np.isfinite(list(first["metrics"].values())).all()


def test_the_study_measures_the_same(shelf, tmp_path):
    from e2.benchmarks.studies.detail import draw, recalls
    from e2.benchmarks.studies.intervals import value

    measured = recalls(colour_encoder(), shelf, None)
    searcher = Searcher(colour_encoder(), read_shelf(shelf))
    assert measured.metrics["exact_R@1_2"] == pytest.approx(100 * searcher.hits(("size", "colour"), "exact")[:, 0].mean())
    gain = searcher.exact_recall(("size", "colour", "description")) - searcher.exact_recall(("size", "description"))
    assert measured.metrics["gain_colour"] == pytest.approx(gain)
    for name, items in measured.items.items():
        assert value(items) == pytest.approx(measured.metrics[name])
    ci95 = {name: [0.0, 100.0] for name in measured.items}
    draw({"metrics": {"clip": measured.metrics}, "ci95": {"clip": ci95}, "dataset": "x", "split": "test"}, tmp_path / "figure")
    assert (tmp_path / "figure.svg").is_file()


def test_mistakes_get_one_line(shelf, shop):
    with pytest.raises(InputError, match="no tags, only descriptions"):
        evaluate_detail([colour_encoder()], Shelf(shelf.products, tags=()), shelf)
    bare = Shelf([product("red", 0), Product("x", (png("red"),), ("x",), {})], tags=("size", "colour"))
    with pytest.raises(InputError, match="1 of 2 products have tags"):
        evaluate_detail([colour_encoder()], shelf, bare)
    answer = run_command(
        "evaluate", "detail", "--model", "open_clip:e2-nano", "--data", shop / "val.parquet", "--split", "val"
    )
    assert answer.status == 2 and "the order of the fields is found on val or train" in answer.line


def test_several_values_are_listed_and_the_same_ones_fit_in_any_order():
    tags = ("casual | boho", "boho | casual", "casual")
    products = [Product(str(row), (png("red"),), ("red",), {"style": tag}) for row, tag in enumerate(tags)]
    searcher = Searcher(colour_encoder(), read_shelf(Shelf(products, tags=("style",))))
    assert [record["style"] for record in searcher.shelf.records] == ["boho, casual", "boho, casual", "casual"]
    assert fitting(("style",), searcher.seen).tolist() == [0, 0, 1]
