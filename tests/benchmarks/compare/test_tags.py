"""Tags in a comparison: who has which value, nearest values and probes against plain ones, and queries of bare words."""

import itertools

import numpy as np
import pytest

pytest.importorskip("sklearn")
from e2.benchmarks.compare.tags import LEAST, ONE, TWO, TagLabels, probe_right, read_tag_labels, tag_queries, zero_shot
from e2.data.product import Product
from tests.benchmarks.stubs import COLOURS, colour_encoder


def product(number: int, **tags: str) -> Product:
    return Product(f"p{number}", (b"",), ("a tee",), tags)


def labels_of(own: list[list[int]]) -> TagLabels:
    table = np.array(own, dtype=bool)
    return TagLabels([f"value {place}" for place in range(table.shape[1])], table)


def test_frequent_values_in_any_spelling():
    products = [product(i, look=("Casual | flat", "casual")[i % 2], colour="red", brand=f"b{i}") for i in range(2 * LEAST)]
    products += [product(90 + i, colour="Blue") for i in range(LEAST)] + [product(99, colour="green")]
    found = read_tag_labels(products, ("look", "colour", "brand"))
    assert list(found) == ["look", "colour"]
    assert found["colour"].values == ["red", "Blue"] and found["colour"].rows.tolist() == list(range(3 * LEAST))
    assert [value.lower() for value in found["look"].values] == ["casual", "flat"]
    assert found["look"].own[:2].tolist() == [[True, True], [True, False]]
    assert found["colour"].majority == pytest.approx(100 * 2 / 3)


def test_zero_shot_reads_the_nearest_of_any_right_value():
    encoder = colour_encoder()
    names = list(COLOURS)
    images = np.eye(len(names), dtype=np.float32)[[0, 1, 2, 0]]  # red, green, blue, red
    own = np.zeros((4, len(names)), dtype=bool)
    own[[0, 0, 1, 2], [0, 3, 0, 2]] = True  # the first is red or white, the second said to be red, the last has no tag
    found = zero_shot(encoder, {"colour": TagLabels(names, own)}, images, None)
    assert found["colour"].tolist() == [True, False, True]


def test_probes_read_what_is_there_and_not_what_is_not():
    rng = np.random.default_rng(0)
    values = np.repeat([0, 1, 2], 20)
    images = np.eye(3, 8)[values] + rng.normal(scale=0.1, size=(60, 8))
    labels = labels_of(np.eye(3, dtype=int)[values].tolist())
    assert probe_right(images.astype(np.float32), labels, seed=0).mean() > 0.95
    noise = rng.normal(size=(60, 8)).astype(np.float32)
    assert probe_right(noise, labels, seed=0).mean() < 0.6
    assert (probe_right(noise, labels, seed=0) == probe_right(noise, labels, seed=0)).all()


def test_probes_take_several_values_and_products_without():
    values = np.repeat([0, 1], 20)
    own = np.eye(2, dtype=int)[values]
    own[:6, 1] = 1  # both
    own[39] = 0
    images = np.eye(2, 4, dtype=np.float32)[values]
    right = probe_right(images, labels_of(own.tolist()), seed=1)
    assert len(right) == 39 and right.all()
    alone = labels_of([[1, 0]] * 10)
    assert probe_right(np.eye(10, dtype=np.float32), alone, seed=0).all()  # one value only: nothing to tell apart


def test_queries_are_all_tags_and_pairs_that_enough_share():
    rng = np.random.default_rng(1)
    tags = [(("red", "blue")[rng.integers(2)], ("tee", "coat", "hat")[rng.integers(3)]) for _ in range(30)]
    products = [product(i, colour=colour, kind=kind) for i, (colour, kind) in enumerate(tags)]
    queries = tag_queries(read_tag_labels(products, ("colour", "kind")), seed=0)
    found = {query.text: query.rows.tolist() for query in queries}
    one = {value: [i for i, own in enumerate(tags) if value in own] for value in ("red", "blue", "tee", "coat", "hat")}
    two = {f"{a} {b}": [i for i, own in enumerate(tags) if own == (a, b)] for a, b in itertools.product(("red", "blue"), one)}
    expected = {text: rows for text, rows in (one | two).items() if len(rows) >= LEAST}
    assert found == expected and {query.kind for query in queries} == {ONE, TWO}
