"""Vocabulary of the tag scores: names of tags, parts of a garment, synonyms, and broader words."""

import re

from e2.benchmarks.composed.data.garment import garment_tag
from e2.spelling import spelling, words

# Tags that a part shares with its product. Any other (colour, composition, ...) describes only one of the two.
WHOLE = "brand, maker, designer, label, season, gender, wearer, usage, occasion, age, year, collection"

# A colour or a material of one of these is not the product's.
COMPONENTS = (
    "lining, insole, outsole, midsole, sole, heel, cuff, collar, lapel, sleeve, hood, hem, pocket, button, zip, zipper, fly, "
    "strap, handle, toe, toecap, trim, trimming, piping, edge, edging, border, waistband, bow, patch, badge, logo, bezel, "
    "embroidery, buckle, stitching, topstitching, seam, flap, tongue, panel, tassel, toggle, stud, clasp, cord, drawstring, "
    "placket, eyelet, turn-up, shoelace"
)
PATTERNS = "print, stripe, pinstripe, check, dot, pattern, plaid, graphic, motif, accent, detail, detailing"
WORKED = (
    "lined, trimmed, edged, piped, banded, bordered, embroidered, embellished, decorated, accented, fastened, finished, "
    "printed, turned up"
)

SYNONYMS = (
    "sweater, jumper, pullover",
    "trousers, pants, slacks",
    "shorts, short pants",
    "dress, frock",
    "blazer, suit jacket, tailored jacket",
    "hoodie, hooded sweatshirt, hooded top",
    "sneaker, trainer",
    "heels, pump, court shoe, heeled shoe",
    "loafer, moccasin",
    "backpack, rucksack, daypack",
    "tote bag, tote, shopper",
    "saree, sari",
    "coat, overcoat",
    "navy blue, navy",
    "turquoise blue, turquoise",
    "multi, multicolour, multicoloured",
    "gold, golden",
)
BROADER = {  # a word -> narrower words
    "top": "t-shirt, shirt, blouse, tunic, kurti, tank top",
    "bracelet": "bangle",
    "stockings": "tights",
    "jeans": "jeggings",
    "white": "off white, ivory, cream",
    "grey": "charcoal",
    "silver": "steel",
    "beige": "cream, nude, skin, khaki",
    "brown": "tan, camel, khaki, chocolate, coffee, rust",
    "red": "maroon, burgundy, wine",
    "pink": "rose, magenta, fuchsia, peach, mauve",
    "orange": "rust, terracotta, coral, peach",
    "yellow": "mustard, lemon, gold",
    "green": "olive, khaki, lime, mint, sage",
    "blue": "navy, cobalt, turquoise, teal",
    "purple": "lavender, lilac, violet, mauve",
}
ADDED = "set, melange"  # a kurta set is about a kurta, grey melange about grey
MANY_COLOURS = "multi, multicolour, multicoloured"


def spellings(listed: str) -> frozenset[str]:
    """Spellings of comma-separated words."""
    return frozenset(map(spelling, listed.split(", ")))


_GROUPS = {name: group.split(", ") for group in SYNONYMS for name in spellings(group)}
_KINDS = {spelling(word): spellings(listed) for word, listed in BROADER.items()}
_ADDED, _MANY_COLOURS = spellings(ADDED), spellings(MANY_COLOURS)


def is_garment(entity: str) -> bool:
    """True if a tag names the product's kind."""
    return garment_tag([entity]) is not None


def synonyms(value: str) -> list[str]:
    """Other words for a value."""
    return _GROUPS.get(spelling(value), [])


def related(one: str, other: str) -> bool:
    """True if one of two values includes the other: *blue* and *navy blue*, *green* and *olive*, *top* and *tunic*."""
    if {spelling(one), spelling(other)} & _MANY_COLOURS:
        return True  # one of several colours
    short, long = sorted(map(_words, (one, other)), key=len)
    while long and long[-1] in _ADDED:
        long.pop()
    within = bool(short) and long[len(long) - len(short) :] == short
    return within or any(spelling(a) in _KINDS.get(spelling(b), ()) for a, b in ((one, other), (other, one)))


def _words(value: str) -> list[str]:
    """Words of a value; a T-shirt is one, and no kind of shirt."""
    return re.sub(r"\bt shirt\b", "tshirt", " ".join(word.spelling for word in words(value))).split()
