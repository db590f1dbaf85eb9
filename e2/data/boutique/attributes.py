"""What a product is: its tags and visible details, sampled so that they are plausible together."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from e2.data.boutique.brands import Brand, sample_brand
from e2.data.boutique.fabrics import FABRICS
from e2.data.boutique.kinds import DARKS, KINDS
from e2.data.boutique.palette import PARTNERS

SEASONS = ("Spring", "Summer", "Autumn", "Winter")
TAGS = ("brand", "season", "sub_category", "composition", "colour")
_POOLS = (("train", 70), ("val", 10), ("test", 20))  # percent of all combinations

# Prints need a cloth that can be printed or woven in colours.
_PRINTABLE = {
    "jersey",
    "linen",
    "satin",
    "canvas",
    "knit",
    "felt",
    "tweed",
    "ripstop",
    "fleece",
    "velvet",
    "denim",
    "corduroy",
}
_DARK_FABRICS = {"tweed", "felt", "corduroy", "suede", "leather", "velvet"}  # shown mostly in the colours of _DARKS


@dataclass(frozen=True)
class Design:
    """All that decides how a product looks and what is said about it."""

    brand: Brand
    season: str
    sub_category: str
    fabric: str  # key of FABRICS
    colour: str
    partner: str  # second colour, for prints, linings and trims
    third: str  # third colour of a print
    print: str  # key of prints.PRINTS, or empty
    metal: str
    details: dict[str, str] = field(default_factory=dict)

    @property
    def composition(self) -> str:
        return FABRICS[self.fabric].tag

    @property
    def tags(self) -> dict[str, str]:
        """Entity -> value, in the catalogue's order."""
        values = (self.brand.name, self.season, self.sub_category, self.composition, self.colour.capitalize())
        return dict(zip(TAGS, values, strict=True))


def pool(design: Design) -> str:
    """The one split that may show this sub-category x brand x composition x colour.

    A hash, so that it is the same in every catalogue of whatever size and seed: no test product was ever trained on.
    """
    combination = "|".join((design.sub_category, design.brand.name, design.composition, design.colour))
    ticket = int.from_bytes(hashlib.sha256(combination.encode()).digest()[:4], "big") % 100
    for name, share in _POOLS:
        if ticket < share:
            return name
        ticket -= share
    raise AssertionError("the shares add up to 100")


def sample_design(rng: np.random.Generator, split: str) -> Design:
    """A plausible product whose combination belongs to ``split`` (train, val or test)."""
    while True:
        design = _draw_lots(rng)
        if pool(design) == split:
            return design


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


def _draw_lots(rng: np.random.Generator) -> Design:
    sub_category = _pick(rng, tuple(KINDS))
    kind = KINDS[sub_category]
    fabric = _pick(rng, kind.fabrics)
    colours = kind.colours
    if fabric in _DARK_FABRICS and rng.random() < 0.65:
        colours = tuple(c for c in colours if c in DARKS)
    colour = _pick(rng, colours)
    partner, third = (str(c) for c in rng.permutation(PARTNERS[colour])[:2])
    printable = kind.prints and fabric in _PRINTABLE and rng.random() < kind.share_printed
    weights = np.array(kind.seasons)
    return Design(
        brand=sample_brand(rng),
        season=SEASONS[int(rng.choice(4, p=weights / weights.sum()))],
        sub_category=sub_category,
        fabric=fabric,
        colour=colour,
        partner=partner,
        third=third,
        print=_pick(rng, kind.prints) if printable else "",
        metal=_pick(rng, ("gold", "silver", "silver", "gunmetal")),
        details={name: _pick(rng, values) for name, values in kind.details.items()},
    )
