"""The offline editor: wishes in shoppers' words, what they change in captions and in tags, and what they do not understand."""

import re

import pytest

from e2.adapters.composed.fashion_words import OPPOSITES
from e2.adapters.composed.lexicon import Lexicon
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.wish_parser import parse_wish

VOCABULARY = {
    "brand": ["Nike", "ADIDAS", "Puma", "AND", "W", "Red Tape", "Only", "Guess", "Next"],
    "colour": ["Grey", "Black", "White", "Red", "Green", "Navy Blue", "Yellow"],
    "gender": ["Men", "Women", "Unisex"],
    "sub_category": ["Sweatshirts", "Shirts", "Jackets", "Tshirts"],
    "season": ["Summer", "Winter"],
}
CAPTION = "Puma Men Grey Striped Hooded Sweatshirt"  # that of ../shared/cases/captions-composed/wishes.tsv
EDITOR, WITHOUT_CATALOGUE = RuleEditor(VOCABULARY), RuleEditor()


def said(wish, editor=EDITOR):
    """(name, wanted) of what a wish names; weaker wishes marked."""
    read = parse_wish(wish, editor.lexicon)
    return [(item.value.name if item.wanted else f"{'less' if item.weak else 'no'} {item.value.name}") for item in read.items]


@pytest.mark.parametrize(
    ("wish", "items"),
    [
        ("is red and has a hood", "Red, hood"),
        ("in black instead of navy blue", "Black, no Navy Blue"),
        ("black rather than white", "Black, no White"),
        ("black, as opposed to grey", "Black, no Grey"),
        ("prefer black to grey", "Black, no Grey"),
        ("I'd prefer black over grey", "Black, no Grey"),
        ("more black than grey", "Black, no Grey"),
        ("no more than two pockets", "pockets"),
        ("replace the black with white", "no Black, White"),
        ("swap grey for black", "no Grey, Black"),
        ("red is the only colour I don't want", "no Red"),
        ("grey is the one colour we do not like", "no Grey"),
        ("black? a colour I never wear, white", "no Black, White"),
        ("red is not the colour I want", "no Red"),
        ("blue is the only colour I want", "blue"),
        ("red colour replaced by grey", "no Red, Grey"),
        ("change the colour from red to grey", "no Red, Grey"),
        ("change the colour to yellow", "Yellow"),
        ("change it from red into green", "no Red, Green"),
        ("not red but green", "no Red, Green"),
        ("in red, not in green", "Red, no Green"),
        ("navy not black", "Navy Blue, no Black"),
        ("with long sleeves and no logo", "long sleeves, no logo"),
        ("without collar and buttons", "no collar, no buttons"),
        ("without a collar and is red", "no collar, Red"),
        ("has no sleeves", "no sleeves"),
        ("without sleeves", "no sleeves"),
        ("is not striped", "no striped"),
        ("I want it in pink", "pink"),
        ("it is more", ""),
        # where a negation ends
        ("no stripes, black", "no striped, Black"),
        ("no stripes; black", "no striped, Black"),
        ("no stripes. I want black", "no striped, Black"),
        ("no stripes - black", "no striped, Black"),
        ("I don't want stripes I want black", "no striped, Black"),
        ("no stripes and black", "no striped, Black"),
        ("no hood in black", "no hood, Black"),
        ("no stripes with a zip", "no striped, zip"),
        ("not grey or red", "no Grey, no Red"),
        ("neither grey nor red", "no Grey, no Red"),
        ("not grey and not striped", "no Grey, no striped"),
        ("no logo, text or print", "no logo, no text, no printed"),
        ("less formal more sporty", "less formal, sporty"),
        ("lose the hood, keep the stripes", "no hood, striped"),
        ("not only red", "Red"),
        ("nothing but black", "Black"),
        ("with a hood too", "hood"),
        # things are described, not recoloured
        ("with white stripes and two small pockets", "striped, pockets"),
        ("by Red Tape", "Red Tape"),
        ("by AND, not by W", "AND, no W"),
        ("in dark grey", "dark grey"),
        ("the sleeves are too short", "less short sleeves"),
        ("darker and with shorter sleeves", "dark, short sleeves"),
        # lists, signs and comparisons
        ("not red, green or black", "no Red, no Green, no Black"),
        ("except for red, green and black", "no Red, no Green, no Black"),
        ("not red, black and with a hood", "no Red, Black, hood"),
        ("not a sweatshirt, a shirt", "no Sweatshirts, Shirts"),
        ("not red/green", "no Red, no Green"),
        ("no hood + stripes", "no hood, no striped"),
        ("no stripes | red", "no striped, Red"),
        ("no hood no stripes no grey", "no hood, no striped, no Grey"),
        ("red -> green", "no Red, Green"),
        ("red → green", "no Red, Green"),
        ("green > red", "Green, no Red"),
        ("green over red", "Green, no Red"),
        ("green is nicer than red", "Green, no Red"),
        ("change grey to red and the stripes to dots", "no Grey, Red, no striped, polka dots"),
        ("trade the hood for a collar", "no hood, collar"),
        ("grey is so boring, give me red", "no Grey, Red"),
        ("red, not ugly", "Red"),
        ("why not red?", "Red"),
        ("I wouldn't mind red", "Red"),
        ("without a doubt red", "Red"),
        ("nothing wrong with red, but no collar", "Red, no collar"),
        ("no less than three buttons", "buttons"),
        ("no matter the colour", ""),
        ("unlined, stripe-less", "no lining, no striped"),
        ("reddish", "Red"),
        ("blak", "Black"),
        ("blank", ""),
        ("I guess next time red", "Red"),
        ("by Only", "Only"),
        ("only red", "Red"),
        # exchanges
        ("substitute red for grey", "Red, no Grey"),
        ("substitute grey with red", "no Grey, Red"),
        ("swap in red for grey", "Red, no Grey"),
        ("red substituted for grey", "Red, no Grey"),
        ("grey replaced by red", "no Grey, Red"),
        ("replacing the stripes with dots", "no striped, polka dots"),
        ("a shirt replaced with a jacket", "no Shirts, Jackets"),
        ("make the grey red", "no Grey, Red"),
        ("turn grey black", "no Grey, Black"),
        ("grey to red", "no Grey, Red"),
        ("red as a replacement for grey", "Red, no Grey"),
        ("an alternative to grey", "no Grey"),
        ("out with the grey, in with the red", "no Grey, Red"),
        # exceptions
        ("any pattern but stripes", "no striped"),
        ("no colour except red", "Red"),
        ("no red, except the logo", "no Red"),
        ("grey I don't want", "no Grey"),
        # scopes
        ("not striped red", "no striped, Red"),
        ("not hooded red", "no hood, Red"),
        ("hooded red", "hood, Red"),
        ("no stripes black", "no striped, Black"),
        ("no hood winter jacket", "no hood, Winter, Jackets"),
        ("not a striped red shirt", "no striped, no Red, no Shirts"),
        ("no sleeves or hood", "no sleeves, no hood"),
        ("no collar and no sleeves", "no collar, no sleeves"),
        ("neither stripes, dots nor checks", "no striped, no polka dots, no checked"),
        ("not dark enough", "dark"),
        ("not enough pockets and too few buttons", "pockets, buttons"),
        ("need not be red", ""),
        ("doesn't have to be red, no hood", "no hood"),
        ("shorter than this dress", "short, dress"),
        ("any colour as long as it's not red", "no Red"),
        # words of two meanings
        ("it falls to the knee", "knee length"),
        ("in autumn colours that fall over the hips", "autumn"),
        ("ties at the waist", "waist"),
        ("next to no stripes", "no striped"),
        ("next to nothing", ""),
        ("a guess dress, not a guess", "Guess, dress"),
        ("red AND black", "Red, Black"),
        ("AND dress", "AND, dress"),
    ],
)
def test_wishes_are_read(wish, items):
    assert ", ".join(said(wish)) == items


NEGATIONS = (
    "not {}",
    "no {}",
    "non {}",
    "non-{}",
    "without {}",
    "w/o {}",
    "except {}",
    "other than {}",
    "apart from {}",
    "anything but {}",
    "everything but {}",
    "any colour but {}",
    "any colour except {}",
    "avoid {}",
    "get rid of {}",
    "remove the {}",
    "lose the {}",
    "I don't want {}",
    "i dont want {}",
    "I don’t like {}",
    "I do not want it {}",
    "isn't {}",
    "isnt {}",
    "never {}",
    "I hate {}",
    "different from {}",
    "less {}",
    "too {}",
    "way too {}",
    "not so {}",
    "a bit too {}",
    "sans {}",
    "w/out {}",
    "nothing {}",
    "hardly any {}",
    "save for {}",
    "enough of {}",
    "I detest {}",
    "don't show me {}",
    "mustn't be {}",
    "ain't {}",
    "no longer {}",
    "{}? no thanks",
    "{} is a no-go",
    "{} is not for me",
    "{}? No.",
    "{}: no",
    "no: {}",
    "lose\n{}",
    "I'm not a fan of {}",
    "I already have {}",
    "bored of {}",
    "no way {}",
    "unlike {}",
    "with out {}",
    "wihtout {}",
    "exept {}",
    "anyhting but {}",
    "dosen't have {}",
    "{} has to go",
    "{} gone",
    "{} removed",
    "{} out",
    "{} is not my thing",
    "{} is boring",
)


@pytest.mark.parametrize("editor", [EDITOR, WITHOUT_CATALOGUE])
@pytest.mark.parametrize("negation", NEGATIONS)
@pytest.mark.parametrize(
    ("unwanted", "stays", "goes"),
    [
        ("grey", "striped", "grey|gray"),
        ("gray", "striped", "grey|gray"),
        ("striped", "grey", "strip"),
        ("stripes", "grey", "strip"),
    ],
)
def test_what_is_not_wanted_goes_and_never_comes(editor, negation, unwanted, stays, goes):
    found = editor.edit_caption(CAPTION, negation.format(unwanted))
    assert not re.search(goes, found, re.IGNORECASE) and re.search(stays, found, re.IGNORECASE)
    assert [value.name.lower() for value in found.unwanted] == ["striped" if unwanted.startswith("s") else "grey"]
    after_comma = editor.edit_caption(CAPTION, f"{negation.format(unwanted)}, red")
    assert re.search("red", after_comma, re.IGNORECASE) and not re.search(goes, after_comma, re.IGNORECASE)
    elsewhere = editor.edit_caption("a plain shirt", negation.format("red"))
    assert elsewhere == "a plain shirt" and [value.name.lower() for value in elsewhere.unwanted] == ["red"]


@pytest.mark.parametrize(
    ("wish", "caption"),
    [
        ("in black", "Puma Men Black Striped Hooded Sweatshirt"),
        ("from Nike", "Nike Men Grey Striped Hooded Sweatshirt"),
        ("from Puma to Nike", "Nike Men Grey Striped Hooded Sweatshirt"),
        ("by addidas", "ADIDAS Men Grey Striped Hooded Sweatshirt"),  # misspelt
        ("no stripes, black", "Puma Men Black plain Hooded Sweatshirt"),
        ("no logo, plain white", "Puma Men White plain Hooded Sweatshirt"),
        ("no print, solid black", "Puma Men Black plain Hooded Sweatshirt"),
        ("without a hood, black", "Puma Men Black Striped Sweatshirt"),
        ("hoodless", "Puma Men Grey Striped Sweatshirt"),
        ("not a sweatshirt, a polo", "Puma Men Grey Striped Hooded polo"),
        ("as jacket instead of sweatshirt", "Puma Men Grey Striped Hooded Jackets"),
        ("made of denim", "Puma Men Grey Striped Hooded denim Sweatshirt"),
        ("with a zip", "Puma Men Grey Striped Hooded Sweatshirt with zip"),
        ("has a zip and two pockets", "Puma Men Grey Striped Hooded Sweatshirt with zip and two pockets"),
        ("has long sleeves", "Puma Men Grey Striped Hooded Sweatshirt, long sleeves"),
        ("sleeves are too long", "Puma Men Grey Striped Hooded Sweatshirt, short sleeves"),
        ("too long", "Puma Men Grey Striped Hooded short Sweatshirt"),
        ("not so dark", "Puma Men Grey Striped Hooded light Sweatshirt"),
        ("longer", "Puma Men Grey Striped Hooded long Sweatshirt"),
        ("baggier", "Puma Men Grey Striped Hooded baggy Sweatshirt"),
        ("with white stripes", "Puma Men Grey Hooded Sweatshirt with white stripes"),
        ("with a big red logo", "Puma Men Grey Striped Hooded Sweatshirt with big red logo"),
        ("in red or green", "Puma Men Red or Green Striped Hooded Sweatshirt"),
        ("in red and green", "Puma Men Red and Green Striped Hooded Sweatshirt"),
        ("for kids", "Puma kids Grey Striped Hooded Sweatshirt"),
        ("women's version", "Puma Women Grey Striped Hooded Sweatshirt"),
        ("for ladies", "Puma Women Grey Striped Hooded Sweatshirt"),
        ("different colour", "Puma Men Striped Hooded Sweatshirt"),
        ("in another color", "Puma Men Striped Hooded Sweatshirt"),
        ("not this colour", "Puma Men Striped Hooded Sweatshirt"),
        ("another brand", "Men Grey Striped Hooded Sweatshirt"),
        ("other brands", "Men Grey Striped Hooded Sweatshirt"),
        ("other brand than Puma", "Men Grey Striped Hooded Sweatshirt"),
        ("same except the colour", "Puma Men Striped Hooded Sweatshirt"),
        ("I don't like the colour", "Puma Men Striped Hooded Sweatshirt"),
        ("a different colour, maybe red", "Puma Men Red Striped Hooded Sweatshirt"),
        ("with a black belt", "Puma Men Grey Striped Hooded Sweatshirt with black belt"),
        ("same colour, no hood", "Puma Men Grey Striped Sweatshirt"),
        ("can I get this in white?", "Puma Men White Striped Hooded Sweatshirt"),
    ],
)
def test_captions_are_edited(wish, caption):
    assert EDITOR.edit_caption(CAPTION, wish) == caption


@pytest.mark.parametrize(
    ("caption", "wish", "edited"),
    [
        ("A coat with white breton stripes.", "no stripes", "A plain coat."),
        ("A shirt with a collar and a hood", "without the collar", "A shirt with a hood"),
        ("a blue shirt with a hood", "no hood", "a blue shirt"),
        ("a striped dress", "not striped", "a plain dress"),
        ("a red hoodie", "no hood", "a red sweatshirt"),
        ("denim shirt dress", "a skirt", "denim shirt skirt"),
        ("A dark grey coat", "anything but grey", "A coat"),
        ("A shirt with a kangaroo", "no kangaroo", "A shirt"),  # a word of the caption itself
        ("", "in red", "red"),
        ("boots with a high heel", "lower heel", "boots with a low heel"),
        ("boots with a high heel", "the heel is too high", "boots with a low heel"),
        ("a shirt with a logo", "with a bigger logo", "a shirt with a big logo"),
        ("a midi dress with short sleeves", "shorter", "a short dress with short sleeves"),
        ("blue jeans with a brown belt", "shorts", "blue shorts with a brown belt"),
        ("blue jeans with a brown belt", "with a black belt", "blue jeans with a black belt"),
    ],
)
def test_sentences_stay_sentences(caption, wish, edited):
    assert WITHOUT_CATALOGUE.edit_caption(caption, wish) == edited


@pytest.mark.parametrize(
    ("wish", "not_understood", "caption"),
    [
        ("same but cheaper", "cheaper", CAPTION),
        ("something nicer and prettier in red", "nicer prettier", "Puma Men Red Striped Hooded Sweatshirt"),
        ("in rot statt blau", "in rot statt blau", CAPTION),
        ("en rouge", "en rouge", CAPTION),
        ("sin mangas", "sin mangas", CAPTION),
        ("ohne Logo", "ohne Logo", CAPTION),
        ("avec logo", "avec logo", CAPTION),
        ("senza cappuccio", "senza cappuccio", CAPTION),
        ("赤いlogo", "赤いlogo", CAPTION),
    ],
)
def test_words_that_are_not_understood_are_left_out_and_told(wish, not_understood, caption):
    found = EDITOR.edit_caption(CAPTION, wish)
    assert found == caption and " ".join(found.not_understood) == not_understood
    assert found.steps["not understood"] == not_understood
    assert (found.status, bool(found.reason)) == (("kept", True) if caption == CAPTION else ("rewritten", False))


def test_tags_are_changed_taken_away_and_else_kept():
    tags = {"brand": "Nike", "colour": "Navy Blue", "sub_category": "Shirts"}

    def edited(wish, tags=tags):
        return EDITOR.edit_tags(tags, wish)[0]

    assert edited("by adidas and in red") == {**tags, "brand": "ADIDAS", "colour": "Red"}
    assert edited("black, not navy blue") == {**tags, "colour": "Black"}
    assert edited("no Nike") == edited("a different brand") == {"colour": "Navy Blue", "sub_category": "Shirts"}
    assert edited("anything but blue") == {"brand": "Nike", "sub_category": "Shirts"}  # navy is blue
    assert edited("something nicer") == tags
    assert edited("in red for winter", {}) == {"colour": "Red", "season": "Winter"}
    several = {"colour": "Navy Blue | Red", "style": "casual | flat"}  # each value by itself
    assert edited("not red", several) == {"colour": "Navy Blue", "style": "casual | flat"}
    assert edited("not blue, not red", several) == {"style": "casual | flat"}
    assert edited("in black", several) == {"colour": "Black", "style": "casual | flat"}
    assert EDITOR.edit_tags(several, "not red")[1] == "Navy Blue casual flat"
    told = EDITOR.edit_tags(tags, "a different brand, with a hood, cheaper")[1]
    assert told == "Navy Blue Shirts hood" and told.not_understood == ("cheaper",)
    assert [(value.kind, value.name) for value in told.unwanted] == [("brand", "Nike")]


def test_spelling_number_and_hyphens_do_not_matter_but_words_like_and_are_no_brands():
    lexicon = Lexicon(VOCABULARY)

    def found(text):
        return [(mention.kind, mention.value.name) for mention in lexicon.mentions(text)]

    assert found("t-shirt") == found("T shirts") == [("sub_category", "Tshirts")]
    assert found("navy blue") == found("Navy") == [("colour", "Navy Blue")]
    assert found("shorts") == [("sub_category", "shorts")] and found("short") == [("length", "short")]
    assert found("and w or so") == [] and found("by AND") == [("brand", "AND")]
    assert found("hooded") == found("hood") == [("part", "hood")]
    assert found("a coated colour") == []  # neither a coat nor colourful


def test_an_entity_is_known_by_its_values_where_its_name_says_nothing():
    editor = RuleEditor({"farbe": ["Red", "Grey", "Navy"]})
    assert editor.edit_tags({"farbe": "Red"}, "turquoise")[0] == {"farbe": "turquoise"}


def test_opposites_are_known_words():
    lexicon = Lexicon()
    assert all(lexicon.value_of(word) for pair in OPPOSITES.items() for word in pair)


def test_several_captions_at_once():
    assert RuleEditor().rewrite(["a red dress", "a blue shirt"], ["is green", "is sleeveless"]) == [
        "a green dress",
        "a blue shirt, sleeveless",
    ]
