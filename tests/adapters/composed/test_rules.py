"""The offline editor: wishes in shoppers' words, what they change in captions and in tags."""

import pytest

from adapters.composed.lexicon import Lexicon
from adapters.composed.rule_editor import RuleEditor
from adapters.composed.wish_parser import Change, parse_wish

VOCABULARY = {
    "brand": ["Nike", "ADIDAS", "Puma", "AND", "W"],
    "colour": ["Black", "Red", "Green", "Navy Blue", "Yellow"],
    "sub_category": ["Shirts", "Jackets", "Tshirts"],
    "season": ["Summer", "Winter"],
}


@pytest.mark.parametrize(
    ("wish", "changes"),
    [
        ("is red and has a hood", [Change("red"), Change("hood")]),
        ("in black instead of navy blue", [Change("black", "navy blue")]),
        ("black rather than white", [Change("black", "white")]),
        ("replace the black with white", [Change("white", "black")]),
        ("change the colour from red to blue", [Change("blue", "red")]),
        ("change the colour to yellow", [Change("yellow")]),
        ("not blue but green", [Change("green", "blue")]),
        ("in red, not in blue", [Change("red", "blue")]),
        ("with long sleeves and no logo", [Change("long sleeves"), Change("plain", "logo")]),
        ("without collar and buttons", [Change("", "collar"), Change("", "buttons")]),
        ("without a collar and is red", [Change("", "collar"), Change("red")]),
        ("has no sleeves", [Change("sleeveless", "sleeves")]),
        ("is not striped", [Change("", "striped")]),
        ("less formal", [Change("casual")]),
        ("is darker and has shorter sleeves", [Change("dark"), Change("short sleeves")]),
        ("I want it in pink", [Change("pink")]),
        ("it is more", []),
    ],
)
def test_wishes_are_read(wish, changes):
    assert parse_wish(wish) == changes


@pytest.mark.parametrize(
    ("wish", "caption"),
    [
        ("in black", "Nike Men Striped Black Shirt"),
        ("from Nike to Puma", "Puma Men Striped Navy Blue Shirt"),
        ("without the stripes", "Nike Men Striped Navy Blue Shirt"),  # "stripes" does not stand there
        ("not striped", "Nike Men Navy Blue Shirt"),
        ("as jacket instead of shirt", "Nike Men Striped Navy Blue Jackets"),
        ("made of denim", "Nike Men Striped Navy Blue denim Shirt"),
        ("has a hood", "Nike Men Striped Navy Blue Shirt with hood"),
        ("has long sleeves", "Nike Men Striped Navy Blue Shirt, long sleeves"),
        ("has a hood and two pockets", "Nike Men Striped Navy Blue Shirt with hood and two pockets"),
    ],
)
def test_captions_are_edited(wish, caption):
    assert RuleEditor(VOCABULARY).edit_caption("Nike Men Striped Navy Blue Shirt", wish) == caption


def test_tags_are_changed_taken_away_and_else_kept():
    editor, tags = RuleEditor(VOCABULARY), {"brand": "Nike", "colour": "Navy Blue", "sub_category": "Shirts"}
    assert editor.edit_tags(tags, "by adidas and in red") == {**tags, "brand": "ADIDAS", "colour": "Red"}
    assert editor.edit_tags(tags, "black, not navy blue") == {**tags, "colour": "Black"}
    assert editor.edit_tags(tags, "no Nike") == {"colour": "Navy Blue", "sub_category": "Shirts"}
    assert editor.edit_tags(tags, "something nicer") == tags
    assert editor.edit_tags({}, "in red for winter") == {"colour": "Red", "season": "Winter"}


def test_spelling_number_and_hyphens_do_not_matter_but_words_like_and_are_no_brands():
    lexicon = Lexicon(VOCABULARY)
    found = {
        text: [(m.kind, m.value) for m in lexicon.mentions(text)] for text in ("t-shirt", "T shirts", "navy blue", "shorts")
    }
    assert found["t-shirt"] == found["T shirts"] == [("sub_category", "Tshirts")]
    assert found["navy blue"] == [("colour", "Navy Blue")]
    assert found["shorts"] == [("sub_category", "shorts")]
    assert lexicon.mentions("short")[0].kind == "length"
    assert not lexicon.mentions("and w or so")
    assert [m.value for m in lexicon.mentions("by AND")] == ["AND"]


def test_several_captions_at_once():
    assert RuleEditor().rewrite(["a red dress", "a blue shirt"], ["is green", "is sleeveless"]) == [
        "a green dress",
        "a blue shirt, sleeveless",
    ]
