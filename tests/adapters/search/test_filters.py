"""The filter language: what it reads, what it refuses, and that no value becomes code."""

import doctest

import numpy as np
import pytest

from e2.adapters.search import filters
from e2.adapters.search.engines import create_store
from e2.adapters.search.filters import (
    And,
    Not,
    OneOf,
    Or,
    all_of,
    entities_of,
    equals,
    mask,
    parse_filter,
    quoted,
)
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.milvus_filter import milvus_expression
from e2.errors import InputError
from tests.adapters.search.conftest import WORDS, entry, manifest, place_in, unit

NAMES = ("brand", "colour", "sub_category", "line name")


def test_examples_in_the_docstrings():
    assert doctest.testmod(filters).failed == 0


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('brand == "Nike"', OneOf("brand", ("Nike",))),
        ("brand=='Nike'", OneOf("brand", ("Nike",))),
        ('brand != "Nike"', Not(OneOf("brand", ("Nike",)))),
        ('colour in ["red","blue"]', OneOf("colour", ("red", "blue"))),
        ('colour contains "red"', OneOf("colour", ("red",))),
        ('colour not Contains "red"', Not(OneOf("colour", ("red",)))),
        ('colour NOT IN ["red"]', Not(OneOf("colour", ("red",)))),
        ('"line name" == "x"', OneOf("line name", ("x",))),
        (r'brand == "Say \"Hi\" \\ \a"', OneOf("brand", ('Say "Hi" \\ a',))),
        ('brand == "Levi\'s"', OneOf("brand", ("Levi's",))),
        ('not not brand == ""', Not(Not(OneOf("brand", ("",))))),
        (
            'brand == "a" or colour == "b" and not sub_category == "c"',
            Or((OneOf("brand", ("a",)), And((OneOf("colour", ("b",)), Not(OneOf("sub_category", ("c",))))))),
        ),
        (
            ' ( brand == "a" or colour == "b" )\n and colour == "and" ',
            And((Or((OneOf("brand", ("a",)), OneOf("colour", ("b",)))), OneOf("colour", ("and",)))),
        ),
    ],
)
def test_reads(text, tree):
    assert parse_filter(text, NAMES) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it ends there"),
        ("brand", "expected ==, !=, <, <=, >, >=, in, contains, not in or not contains"),
        ('brand > "a"', "expected a number"),
        ("brand > 1.", "expected a name"),
        ("brand ==", "expected a text in quotes"),
        ("brand == Nike", "expected a text in quotes"),
        ('brnd == "a"', "no tag 'brnd'; there are brand, colour"),
        ('brand == "a', "expected a name"),
        ('brand == "a" colour == "b"', "expected and, or, or the end"),
        ('brand in "a"', r"expected \["),
        ("brand in []", "expected a text"),
        ('brand in ["a",]', "expected a text"),
        ('(brand == "a"', r"expected \)"),
        ('brand ~ "a"', "character 7"),
        ('brand == "a"; drop table', "character 13"),
        ("1 == 1", "character 1"),
        ("not " * 60 + 'brand == "a"', "more than 50 brackets"),
        ("(" * 10_000, "more than 50 brackets"),
        ("x" * 10_001, "10,001 characters"),
    ],
)
def test_refuses_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_filter(text, NAMES)
    assert "\n" not in str(caught.value)


def test_quoted_texts_are_read_back():
    for entity, words in WORDS.items():
        for word in words:
            assert parse_filter(f"{quoted(entity)} == {quoted(word)}", list(WORDS)) == OneOf(entity, (word,))


def test_filters_are_joined_as_trees():
    brand, colour = OneOf("brand", ("Nike",)), OneOf("colour", ("red", "blue"))
    assert equals({"brand": "Nike", "colour": ["red", "blue"], "line name": []}) == And((brand, colour))
    assert equals({}) is None and all_of([None, colour]) == colour and all_of([]) is None
    assert all_of([Or((brand, colour)), brand]) == And((Or((brand, colour)), brand))
    assert entities_of(Not(And((brand, Or((colour, brand)))))) == {"brand", "colour"}


def test_a_mask_is_plain_logic():
    rng = np.random.default_rng(0)
    columns = {name: rng.choice(words, 200) for name, words in WORDS.items()}
    for seed in range(50):
        tree, expected = random_tree(np.random.default_rng(seed), columns, 3)
        np.testing.assert_array_equal(mask(tree, lambda entity, values: np.isin(columns[entity], values)), expected)


def test_milvus_texts_are_escaped():
    """Servers of version 2.3 match no middle or end of a text, and take no empty list of values to find among several."""
    tree = Not(OneOf("brand", ('a" or 1 == 1 or "', "\\", "x\ny")))
    listed = r'"tag_0:a\" or 1 == 1 or \"", "tag_0:\\", "tag_0:x\ny"'
    whole = f"not (tag_0 in [{listed.replace('tag_0:', '')}] or array_contains_any(several, [{listed}]))"
    assert milvus_expression(tree, {"brand": "tag_0"}.get) == whole
    assert milvus_expression(OneOf("brand", ("",)), {"brand": "t"}.get) == 't in [""]'


SEVERAL = {  # brand of each product
    "a": "red | blue",
    "b": "blue",
    "c": "light blue | red",
    "d": "x | y_y | 5% | z",
    "e": "x | yyy | 5",
    "f": 'q\\ | "w" | v',
    "g": "",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('brand contains "blue"', "ab"),
        ('brand == "red"', "ac"),
        ('brand != "red"', "bdefg"),
        ('brand not contains "blue" and not brand == ""', "cdef"),
        ('brand in ["light blue", "z"]', "cd"),
        ('brand contains "y_y"', "d"),
        ('brand contains "5%" or brand contains "v"', "df"),
        ("brand contains '\"w\"'", "f"),
        (r'brand contains "q\\"', "f"),
        ('brand == ""', "g"),
        ('brand contains "red | blue"', ""),
    ],
)
def test_a_product_passes_by_any_of_its_values(several, text, found):
    hits = several.search(unit(1), 20, text)[0]
    assert "".join(sorted(hit.product_id for hit in hits)) == found


def test_each_value_is_counted(several):
    counts = several.facets()["brand"]
    assert list(counts.items())[:3] == [("blue", 2), ("red", 2), ("x", 2)] and counts["light blue"] == 1 and "" not in counts
    assert several.facets('brand contains "blue"')["brand"] == {"blue": 2, "red": 1}


@pytest.fixture(scope="module", params=["local", "lite", "server"])
def several(request, tmp_path_factory):
    """An index of products that have several brands."""
    place, close = place_in(request.param, tmp_path_factory.mktemp("several"))
    store = create_store(place, manifest())
    vectors = unit(len(SEVERAL))
    store.write([
        entry(number, vectors[number], product_id=name, tags={"brand": tag} if tag else {})
        for number, (name, tag) in enumerate(SEVERAL.items())
    ])  # fmt: skip
    store.finish()
    index = ProductIndex(store)
    yield index
    index.close()
    close()


def random_tree(rng, columns, depth):
    """A filter, and the rows it takes, computed beside it."""
    kind = rng.integers(0, 4) if depth else 0
    if kind == 0:
        name = str(rng.choice(list(columns)))
        values = tuple(map(str, rng.choice(WORDS[name], 2)))
        return OneOf(name, values), np.array([cell in values for cell in columns[name]])
    if kind == 1:
        inner, rows = random_tree(rng, columns, depth - 1)
        return Not(inner), ~rows
    (a, rows_a), (b, rows_b) = (random_tree(rng, columns, depth - 1) for _ in range(2))
    return (And((a, b)), rows_a & rows_b) if kind == 2 else (Or((a, b)), rows_a | rows_b)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("year > 2010", ("2011", "2012.5")),
        ("year >= 2010", ("2010", "2011", "2012.5")),
        ("year < -1.5", ("-2",)),
        ("year<=-2", ("-2",)),
        ("year > 3000", ()),
    ],
)
def test_comparisons_choose_values_that_are_numbers(words, values):
    known = {"year": ["2010", "unknown", "2011", "2012.5", "nan", "", "-2", "20_12"]}
    assert parse_filter(words, ["year"], known.__getitem__) == OneOf("year", values)
