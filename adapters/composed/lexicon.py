"""What fashion words mean to the rule-based editor: kinds of attributes and their values, a catalogue's own included."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.composed.keywords import FUNCTION_WORDS

WORDS = {
    "colour": "black, white, off white, ivory, cream, beige, nude, tan, camel, brown, chocolate, khaki, olive, grey, gray, "
    "charcoal, silver, gold, golden, bronze, copper, navy, navy blue, blue, light blue, dark blue, royal blue, "
    "sky blue, turquoise, teal, aqua, green, light green, dark green, mint, lime, yellow, mustard, orange, peach, "
    "coral, red, dark red, maroon, burgundy, wine, rust, pink, light pink, hot pink, magenta, purple, lavender, "
    "lilac, violet, multicoloured, multicolored, multi",
    "pattern": "plain, solid, striped, stripes, pinstriped, checked, checkered, chequered, plaid, tartan, gingham, floral, "
    "flowers, flowered, polka dot, polka dots, dotted, dots, spotted, paisley, leopard, leopard print, zebra, "
    "animal print, snake print, camouflage, camo, tie dye, tie dyed, geometric, abstract, graphic, printed, "
    "patterned, embroidered, houndstooth, argyle, colour block, color block, colorblock, herringbone, tropical, "
    "ombre",
    "sleeves": "sleeveless, strapless, spaghetti straps, long sleeves, long sleeve, long sleeved, short sleeves, short "
    "sleeve, short sleeved, three quarter sleeves, half sleeves, cap sleeves, puff sleeves, bell sleeves, elbow "
    "length sleeves, full sleeves, rolled sleeves",
    "length": "mini, midi, maxi, knee length, ankle length, floor length, full length, cropped, long, short",
    "material": "cotton, denim, leather, faux leather, suede, silk, satin, linen, wool, woollen, cashmere, fleece, velvet, "
    "lace, chiffon, polyester, nylon, knit, knitted, corduroy, tweed, fur, faux fur, shearling, canvas, mesh, "
    "jersey, viscose, rayon, spandex, sequined, sequins, tulle, crochet, rubber, metal, jute",
    "neckline": "v neck, crew neck, round neck, scoop neck, boat neck, turtleneck, high neck, halter, halter neck, off "
    "shoulder, one shoulder, polo neck, square neck, cowl neck, mandarin collar, collared",
    "fit": "slim, tight, fitted, loose, baggy, oversized, relaxed, flowing, flowy, boxy",
    "style": "casual, formal, sporty, elegant, dressy, business, vintage, bohemian, boho, feminine, masculine, party, ethnic",
    "shade": "dark, light, bright, pale, pastel",
    "season": "spring, summer, autumn, fall, winter",
    "gender": "men, women, boys, girls, unisex",
    "garment": "t shirt, tshirt, tee, shirt, blouse, top, tank top, tunic, hoodie, sweatshirt, sweater, jumper, pullover, "
    "cardigan, jacket, coat, overcoat, blazer, vest, dress, gown, frock, skirt, trousers, pants, jeans, leggings, "
    "shorts, jumpsuit, sneaker, trainer, shoe, boot, heel, pump, loafer, sandal, flat, flip flop, bag, tote bag, "
    "handbag, purse, backpack, clutch, wallet, belt, tie, scarf, hat, cap, watch, sunglasses, sock, glove, saree, "
    "sari, kurta, polo, polo shirt, swimsuit, bikini",
}
ENTITIES = {  # names that catalogues give to a kind
    "colour": ("colour", "color", "base_colour", "base_color", "colors", "colours"),
    "material": ("material", "composition", "fabric", "materials"),
    "garment": ("sub_category", "subcategory", "category", "article_type", "type", "product_type"),
    "pattern": ("pattern", "print"),
    "sleeves": ("sleeves", "sleeve", "sleeve_length"),
    "neckline": ("neckline", "neck"),
}
LONGEST = 5  # words of a value


@dataclass(frozen=True)
class Mention:
    """A value found in a text: its kind (a catalogue's entity where it has one), and where, in characters."""

    kind: str
    value: str
    start: int
    end: int


class Lexicon:
    """Finds attribute values in texts.

    Args:
        vocabulary: entity -> values of a catalogue, added to the words above; a value known by both gets the catalogue's
            spelling and entity.
    """

    def __init__(self, vocabulary: Mapping[str, Sequence[str]] | None = None):
        vocabulary = vocabulary or {}
        self._entries: dict[str, tuple[str, str]] = {}
        self._stems: dict[str, tuple[str, str]] = {}
        self._exact: dict[str, str] = {}  # function words that are values, e.g. the brand "AND": in their own spelling only
        names = {kind: next((e for e in entities if e in vocabulary), kind) for kind, entities in ENTITIES.items()}
        for kind, words in WORDS.items():
            for value in words.split(", "):
                self._enter(names.get(kind, kind), value)
        for entity, values in vocabulary.items():
            for value in reversed(values):  # the frequent first in a vocabulary: of equal keys the frequent one stays
                self._add(entity, value)

    def _add(self, entity: str, value: str) -> None:
        key = _key(value)
        if not key:
            return
        if value.lower() in FUNCTION_WORDS or len(key) < 2:
            self._exact[key] = value
        stem = _stem(key)
        for spelling in (stem, f"{stem}s"):  # "jacket" is the catalogue's "Jackets" from now on
            if self._entries.get(spelling, ("",))[0] == entity:
                self._entries[spelling] = (entity, value)
        self._enter(entity, value)

    def _enter(self, kind: str, value: str) -> None:
        """Under its spelling and its stem; "shorts" and "short" differ, so the spelling is asked first."""
        self._entries[_key(value)] = self._stems[_stem(_key(value))] = (kind, value)

    def _known(self, words: str) -> tuple[str, str] | None:
        key = _key(words)
        if key in self._exact and words != self._exact[key]:
            return None
        return self._entries.get(key) or self._stems.get(_stem(key))

    def mentions(self, text: str) -> list[Mention]:
        """All values in a text, longest first at each place, none overlapping."""
        words = list(re.finditer(r"[^\W_]+(?:['’&][^\W_]+)*", text))
        found, i = [], 0
        while i < len(words):
            mention = next(filter(None, (self._at(text, words[i : i + n]) for n in range(LONGEST, 0, -1))), None)
            if mention is None:
                i += 1
                continue
            found.append(mention)
            while i < len(words) and words[i].start() < mention.end:
                i += 1
        return found

    def kind_of(self, word: str) -> tuple[str, str]:
        """Kind and spelling of one known word."""
        return self._entries[_key(word)]

    def _at(self, text: str, words: list[re.Match]) -> Mention | None:
        if not words:
            return None
        start, end = words[0].start(), words[-1].end()
        between = text[start:end]
        if any(mark in between for mark in ",.;:!?") and len(words) > 1:
            return None  # no value goes over a comma
        known = self._known(between)
        return known and Mention(*known, start, end)


def _key(text: str) -> str:
    """Spelling without case, spaces and hyphens: "T-Shirts" and "t shirts" are one."""
    return "".join(re.findall(r"[^\W_]+", text.lower()))


def _stem(key: str) -> str:
    """Without a plural's ending."""
    return key.rstrip("s") or key
