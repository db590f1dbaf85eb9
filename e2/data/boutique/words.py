"""Descriptions in the manner of fashion shops: two to four sentences on what the picture shows, and nothing else."""

from collections.abc import Sequence

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.fabrics import FABRICS
from e2.data.boutique.features import FEATURES
from e2.data.boutique.vocabulary import CUES, GLYPH_WORDS, NOUNS, PLACE_WORDS, SHAPES

_WORDS = (20, 45)  # shortest and longest description
_OPENERS = (
    "{A shape noun} in {colour} {fabric}{print}.",
    "This {shape noun} is made of {colour} {fabric}{print}.",
    "{A colour noun} in {fabric}{print}, {shape late}.",
    "{Fabric} in {colour} shapes this {shape noun}{print}.",
    "{A shape noun}{print}, cut from {fabric} in {colour}.",
    "Meet {a shape noun} of {fabric}, dyed {colour}{print}.",
    "{Colour}, in {fabric}{print}: {a shape noun}.",
    "{Brand} presents {a shape noun} in {colour} {fabric}{print}.",
    "{Brand}'s {shape noun} comes in {colour} {fabric}{print}.",
    "From {Brand}, {a colour noun} made of {fabric}{print}, {shape late}.",
)
_DETAILS = (
    "It has {list}.",
    "Details include {list}.",
    "You will find {list}.",
    "Finished with {list}.",
    "The design brings together {list}.",
    "Look closer for {list}.",
    "{List} complete it.",
)
_SEASONS = (
    "{Cue} for {season} days.",
    "Made for {season}, with {cue}.",
    "{Season} calls for {cue}.",
    "{A season} piece: {cue}.",
    "Note {cue}.",
    "It comes with {cue}.",
    "{Cue}, ready for {season}.",
)
_MARKS = (
    "The {badge} patch of {Brand} sits {place}.",
    "{A mark}, {colouring}, sits {place}.",
    "Look for the {Brand} {mark} {place}.",
    "{A mark} in {colouring} marks the piece {place}.",
    "Signed {Brand} {place}.",
)


def describe(design: Design, rng: np.random.Generator) -> str:
    """A description of 20 to 45 words; wording, order and the choice of details vary."""
    while True:
        text = _compose(design, rng)
        if _WORDS[0] <= len(text.split()) <= _WORDS[1]:
            return text


def _compose(design: Design, rng: np.random.Generator) -> str:
    opener = _opener(design, rng)
    features = [_pick(rng, FEATURES[key]) for key in _feature_keys(design)]
    features = [features[i] for i in rng.permutation(len(features))][: int(rng.integers(1, 4))]
    rest = [_details(features, rng)] if features else []
    if rng.random() < 0.85:
        rest.append(_season(design, rng))
    if rng.random() < (0.35 if design.brand.name in opener else 0.55):
        rest.append(_mark(design, rng))
    return " ".join([opener, *(rest[i] for i in rng.permutation(len(rest)))])


def _opener(design: Design, rng: np.random.Generator) -> str:
    noun = _pick(rng, NOUNS[design.sub_category])
    shape = _pick(rng, SHAPES[_shape_key(design)])
    fabric = _pick(rng, FABRICS[design.fabric].words)
    colour = design.colour
    coloured = "" if not design.print else f" with {_print_words(design)}"
    shape_noun, colour_noun = f"{shape} {noun}", f"{colour} {noun}"
    fields = {
        "A shape noun": _capital(_with_article(shape_noun)),
        "a shape noun": _with_article(shape_noun),
        "A colour noun": _capital(_with_article(colour_noun)),
        "a colour noun": _with_article(colour_noun),
        "shape noun": shape_noun,
        "shape late": f"in {_with_article(shape)} cut",
        "fabric": fabric,
        "Fabric": _capital(fabric),
        "colour": colour,
        "Colour": _capital(colour),
        "print": coloured,
        "Brand": design.brand.name,
    }
    return _fill(_pick(rng, _OPENERS), fields)


def _print_words(design: Design) -> str:
    """``white breton stripes``, ``a houndstooth check in cream``."""
    if design.print.startswith(("a ", "an ")):
        return f"{design.print} in {design.partner}"
    return f"{design.partner} {design.print}"


def _shape_key(design: Design) -> str:
    for name in ("fit", "shape", "height", "heel"):
        if name in design.details:
            return design.details[name]
    return design.details.get("toe", "plain")


# What a season's own cue covers: (sub-category, season, detail).
_HIDDEN = {
    *((name, "Winter", "neck") for name in ("T-Shirts", "Sweaters", "Dresses")),
    ("Dresses", "Summer", "neck"),
    ("Tote Bags", "Autumn", "closure"),
    ("Tote Bags", "Winter", "closure"),
    ("Backpacks", "Autumn", "shape"),
    ("Handbags", "Autumn", "closure"),
}


def _feature_keys(design: Design) -> list[tuple[str, str, str]]:
    """The details that the picture shows."""
    keys = [(design.sub_category, name, value) for name, value in design.details.items()]
    return [key for key in keys if key in FEATURES and (key[0], design.season, key[1]) not in _HIDDEN]


def _details(features: Sequence[str], rng: np.random.Generator) -> str:
    listed = features[0] if len(features) == 1 else ", ".join(features[:-1]) + " and " + features[-1]
    template = _pick(rng, _DETAILS)
    if template.endswith("complete it.") and len(features) == 1:
        template = _DETAILS[0]
    return _fill(template, {"list": listed, "List": _capital(listed)})


def _season(design: Design, rng: np.random.Generator) -> str:
    cue = _pick(rng, CUES[design.sub_category][design.season]).format(partner=design.partner)
    season = design.season.lower()
    return _fill(
        _pick(rng, _SEASONS),
        {
            "cue": cue,
            "Cue": _capital(cue),
            "season": season,
            "A season": _capital(_with_article(season)),
            "Season": _capital(season),
        },
    )


def _mark(design: Design, rng: np.random.Generator) -> str:
    brand = design.brand
    mark = f"{brand.badge} {GLYPH_WORDS[brand.glyph]} patch"
    place = PLACE_WORDS[design.sub_category][brand.place]
    fields = {
        "badge": brand.badge,
        "Brand": brand.name,
        "place": place,
        "mark": mark,
        "A mark": _capital(_with_article(mark)),
        "colouring": brand.colouring,
    }
    return _fill(_pick(rng, _MARKS), fields)


def _fill(template: str, fields: dict[str, str]) -> str:
    for name, value in fields.items():
        template = template.replace("{" + name + "}", value)
    return template


def _with_article(words: str) -> str:
    vowel = words[0].lower() in "aeiou" and not words.startswith("one")
    return ("an " if vowel else "a ") + words


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]
