"""Sizes and numbers in queries: filters on the tags whose names they stand by, or which alone have them."""

import pytest

from e2.adapters.search.asked_sizes import asked_sizes
from e2.adapters.search.filters import Not, OneOf

FACETS = {
    "size": ["36", "38", "40", "M", "XL", "one size", "2"],
    "price": ["19.99", "30", "25.0", "40"],
    "shoe_size": ["EU 42", "EU 43"],
    "colour": ["Blue", "Red"],
    "brand": ["Nike", "38"],
}


def read(text: str, alone: bool = True):
    found = asked_sizes(text, lambda: FACETS, alone=alone)
    parts = getattr(found.where, "parts", (found.where,) if found.where else ())
    named = [(part.inner if isinstance(part, Not) else part) for part in parts]
    return found.rest, [(part.entity, *part.values) for part in named], found.told


@pytest.mark.parametrize(
    ("text", "rest", "told", "named"),
    [
        ("size 36", "", "size 36", ("size", "36")),
        ("36 size please", "", "size 36", ("size", "36")),
        ("Sizes: 36, 38 or 40", "", "size 36, 38 or 40", ("size", "36", "38", "40")),
        ("in blue, size 36 or size 38", "in blue", "size 36 or size 38", ("size", "36", "38")),
        ("in size xl and with a hood", "with a hood", "size xl", ("size", "XL")),
        ("size 36, 2 pockets", "2 pockets", "size 36", ("size", "36")),
        ("this one but in M", "", "size M", ("size", "M")),
        ("in a 36, not striped", "not striped", "size 36", ("size", "36")),
        ("blue, 36", "blue", "size 36", ("size", "36")),
        ("the same in one size", "", "size one size", ("size", "one size")),
        ("shoe size 42", "", "shoe_size 42", ("shoe_size", "EU 42")),
        ("in 42", "", "shoe_size 42", ("shoe_size", "EU 42")),
        ("price 25", "", "price 25", ("price", "25.0")),
        ("red and price under 30", "red", "price under 30", ("price", "19.99", "25.0")),
        ("price from 20 to $30", "", "price from 20 to $30", ("price", "30", "25.0")),
        ("price < 30", "", "price < 30", ("price", "19.99", "25.0")),
        ("red, price<=25", "red", "price <=25", ("price", "19.99", "25.0")),
        ("price max 25", "", "price max 25", ("price", "19.99", "25.0")),
        ("price under 1,000", "", "price under 1,000", ("price", "19.99", "30", "25.0", "40")),
        ("price under 25,50", "", "price under 25,50", ("price", "19.99", "25.0")),
        ("price over 20 and under 40", "", "price over 20 and under 40", ("price", "30", "25.0")),
        ("red, under €30", "red", "price under €30", ("price", "19.99", "25.0")),
        ("under 30 euros and red", "red", "price under 30", ("price", "19.99", "25.0")),
        ("cheaper than 30", "", "price cheaper than 30", ("price", "19.99", "25.0")),
        ("price at least 30", "", "price at least 30", ("price", "30", "40")),
        ("blue but not in XL", "blue", "not size XL", ("size", "XL")),
        ("anything but size 36", "", "not size 36", ("size", "36")),
        ("I don’t want it in size 36", "", "not size 36", ("size", "36")),
        ("no logo, size 36", "no logo", "size 36", ("size", "36")),
        ("red in any size but M", "red", "not size M", ("size", "M")),
        ("any size but not M, please", "", "not size M", ("size", "M")),
        ("all sizes except M or XL", "", "not size M or XL", ("size", "M", "XL")),
        ("size other than 36, red", "red", "not size 36", ("size", "36")),
        ("price not over 30", "", "not price over 30", ("price", "40")),
        ("price no more than 30", "", "price no more than 30", ("price", "19.99", "30", "25.0")),
    ],
)
def test_what_is_read_and_what_is_left(text, rest, told, named):
    assert read(text) == (rest, [named], (told,))
    where = asked_sizes(text, lambda: FACETS, alone=True).where
    assert isinstance(where, Not if told.startswith("not ") else OneOf)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("size M not XL", ("size M", "not size XL")),
        ("in M instead of XL", ("size M", "not size XL")),
        ("size 38 rather than size 36", ("size 38", "not size 36")),
        ("neither size M nor XL", ("not size M", "not size XL")),
    ],
)
def test_a_size_right_after_another_may_be_rejected(text, told):
    assert read(text) == ("", [("size", each.split()[-1]) for each in told], told)


@pytest.mark.parametrize(
    "text",
    [
        "in 40",  # a size or a price
        "in 38",  # a brand, too
        "in 2 colours",
        "with 2 pockets",
        "size 60",
        "3/4 sleeves",
        "under 30",  # a size or a price
        "in red",
        "medium sized",
    ],
)
def test_nothing_is_guessed(text):
    assert read(text) == (text, [], ())


def test_a_value_without_a_name_may_be_an_id_where_there_is_no_photo():
    assert read("30", alone=False)[0] == "30" and read("in XL", alone=False)[2] == ("size XL",)
    assert read("30")[2] == ("price 30",)


def test_two_comparisons_must_both_hold_and_products_are_only_counted_for_numbers():
    assert len(read("price over 20 and price under 30")[1]) == 2
    assert asked_sizes("a red dress", lambda: pytest.fail("asked for the values")).rest == "a red dress"
