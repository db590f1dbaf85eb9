"""Spellings of one thing agree, of two things differ; values are found whole and longest first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2.spelling import Phrases, spelling, stem, words


@pytest.mark.parametrize(
    "forms",
    [
        ("T-Shirts", "Tshirts", "tee-shirt", "tee", "T shirt", "TEES", "tee shirts", "Ｔ－Ｓｈｉｒｔ"),
        ("Levi's", "LEVIS", "Levi’s", "levi"),
        ("Mod'acc", "Mod-Acc", "modacc"),
        ("Gini & Jony", "Gini And Jony"),
        ("grey", "Gray", "GREYS"),
        ("colourful", "colorful"),
        ("multi-coloured", "Multicolored"),
        ("jewellery", "Jewelry"),
        ("woollen", "woolen"),
        ("chequered", "checkered"),
        ("Women's", "womens", "Woman", "women"),
        ("dresses", "Dress"),
        ("watches", "watch"),
        ("hoodies", "hoodie"),
        ("ties", "tie"),
        ("scarves", "scarf"),
        ("sun glasses", "Sunglasses"),
        ("flip flops", "Flip-Flop", "flipflops"),
        ("Café", "CAFE", "cafe\u0301s"),
        ("soft\u00adshell", "softshell"),
        ("U.S. Polo Assn.", "US Polo Assn"),
    ],
)
def test_spellings_of_one_thing_agree(forms):
    assert len({spelling(form) for form in forms}) == 1


@pytest.mark.parametrize(
    "pair",
    [
        *[("shirt", "t-shirt"), ("short", "shorts"), ("flat", "Flats"), ("heel", "Heels"), ("tight", "tights"), ("&", "+")],
        *[("4.5", "45"), ("UK 10.5", "UK 105"), ("2-3 years", "23 years")],
    ],
)
def test_spellings_of_two_things_differ(pair):
    assert spelling(pair[0]) != spelling(pair[1])


@pytest.mark.parametrize(
    "forms", [("stripes", "striped"), ("hood", "hooded"), ("dots", "dotted"), ("checks", "checked"), ("flowers", "flowered")]
)
def test_a_stem_is_shared_by_adjectives(forms):
    assert len(set(map(stem, forms))) == 1


VALUES = ("Shirts", "T-Shirts", "Blue", "Navy Blue", "Red", "Red Tape", "AND", "W", "U.S. Polo Assn.", "Gini and Jony", "红色")


def found(text: str) -> list[tuple[str, str]]:
    """Words in the text, and the value they spell."""
    return [(text[f.start : f.end], value) for f in Phrases([(v, v) for v in VALUES]).find(text) for value in f.items]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a navy-blue tshirt", [("navy-blue", "Navy Blue"), ("tshirt", "T-Shirts")]),
        ("Navy Blue and blue shirt", [("Navy Blue", "Navy Blue"), ("blue", "Blue"), ("shirt", "Shirts")]),
        ("bluebell and redwood, or sweatshirt", []),
        ("navy, blue", [("blue", "Blue")]),
        ("in red. Tape on it", [("red", "Red")]),
        ("Red tape", [("Red tape", "Red Tape")]),
        ("and AND w/ W & And", [("AND", "AND"), ("W", "W")]),
        ("by US Polo Assn, U.S. Polo Assn.", [("US Polo Assn", "U.S. Polo Assn."), ("U.S. Polo Assn", "U.S. Polo Assn.")]),
        ("GINI & JONY", [("GINI & JONY", "Gini and Jony")]),
        ("红色连衣裙", [("红色", "红色")]),
        ("", []),
        ("!?", []),
    ],
)
def test_finds_the_longest_values(text, expected):
    assert found(text) == expected


def test_a_tee_shirt_is_no_shirt_even_where_the_catalogue_has_none():
    shirts = Phrases({"Shirts": 1, "White": 2})
    assert [f.items for f in shirts.find("an off-white t-shirt, tee shirt, Tshirts, shirt, white")] == [(1,), (2,)]


def test_values_of_one_spelling_are_found_together():
    brands = Phrases([("Levis", "a"), ("Levi's", "b"), ("LEVIS", "b")])
    assert [f.items for f in brands.find("Levi’s jeans")] == [("a", "b")]


@given(st.text())
def test_any_phrase_is_found_in_itself(text):
    if words(text):
        assert [f.items for f in Phrases({text: 1}).find(text)] == [(1,)] or spelling(text) in ("tshirt", "offwhite")


@given(st.text(), st.text())
def test_words_lie_in_their_text(text, other):
    found = words(f"{text} {other}")
    assert all(left.end <= right.start for left, right in zip(found, found[1:], strict=False))
    assert len(found) == len(words(text)) + len(words(other))
