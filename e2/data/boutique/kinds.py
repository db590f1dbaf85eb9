"""What is plausible for each sub-category: fabrics, details, colours, prints and seasons."""

from dataclasses import dataclass

from e2.data.boutique.palette import PARTNERS

_ALL = tuple(PARTNERS)
DARKS = ("black", "charcoal", "grey", "camel", "brown", "burgundy", "olive", "forest green", "navy", "cream", "teal")
_LEATHERS = ("black", "brown", "camel", "burgundy", "cream", "white", "navy", "olive", "red", "forest green", "pink", "grey")
_JEANS = ("navy", "sky blue", "cobalt", "black", "charcoal", "grey", "white", "cream", "olive", "teal")


@dataclass(frozen=True)
class Kind:
    """What is plausible for a sub-category. Detail name -> the values it may take."""

    fabrics: tuple[str, ...]
    details: dict[str, tuple[str, ...]]
    colours: tuple[str, ...] = _ALL
    prints: tuple[str, ...] = ()
    share_printed: float = 0.4
    seasons: tuple[float, float, float, float] = (1, 1, 1, 1)  # weights in the order of SEASONS


_SHIRTING = (
    "breton stripes",
    "pinstripes",
    "gingham checks",
    "windowpane checks",
    "polka dots",
    "pin dots",
    "a floral print",
    "bold stripes",
)
_SUITING = ("pinstripes", "windowpane checks", "tartan checks", "a houndstooth check")
_SOFT = ("a floral print", "polka dots", "pin dots", "bold stripes", "gingham checks", "breton stripes")

KINDS = {
    "T-Shirts": Kind(
        ("jersey", "linen", "knit", "velvet", "lace", "satin"),
        {"neck": ("crew", "v"), "fit": ("slim", "regular", "boxy"), "pocket": ("none", "none", "chest")},
        prints=("breton stripes", "bold stripes", "polka dots", "a floral print", "pin dots"),
        seasons=(1.2, 1.6, 0.8, 0.5),
    ),
    "Shirts": Kind(
        ("linen", "denim", "satin", "corduroy", "canvas", "jersey"),
        {"fit": ("slim", "regular", "boxy"), "pocket": ("none", "chest", "two chest"), "closure": ("buttons", "snaps")},
        prints=_SHIRTING,
        share_printed=0.5,
    ),
    "Hoodies": Kind(
        ("jersey", "fleece", "knit", "velvet", "ripstop"),
        {"fit": ("regular", "boxy"), "closure": ("pullover", "zip"), "pocket": ("kangaroo", "kangaroo", "none")},
        prints=("bold stripes", "breton stripes", "tartan checks"),
        share_printed=0.15,
    ),
    "Sweaters": Kind(
        ("knit", "cable", "felt", "fleece"),
        {"neck": ("crew", "v"), "fit": ("slim", "regular", "boxy")},
        prints=("breton stripes", "an argyle pattern", "a houndstooth check", "pin dots"),
        seasons=(1, 0.7, 1.3, 1.6),
    ),
    "Cardigans": Kind(
        ("knit", "cable", "felt", "fleece"),
        {"fit": ("slim", "regular", "boxy"), "closure": ("buttons", "zip"), "pocket": ("none", "patch")},
        prints=("breton stripes", "an argyle pattern", "bold stripes"),
        share_printed=0.25,
    ),
    "Jackets": Kind(
        ("denim", "leather", "suede", "corduroy", "canvas", "ripstop", "down", "fleece"),
        {
            "fit": ("slim", "regular", "boxy"),
            "closure": ("zip", "snaps", "buttons"),
            "pocket": ("flap chest", "slant", "none"),
        },
        colours=_ALL,
        prints=("tartan checks", "a houndstooth check"),
        share_printed=0.12,
    ),
    "Coats": Kind(
        ("felt", "tweed", "down", "leather", "velvet", "canvas"),
        {
            "fit": ("slim", "regular"),
            "closure": ("single-breasted", "double-breasted", "toggles"),
            "pocket": ("flap", "patch", "none"),
            "belt": ("none", "none", "belt"),
        },
        prints=_SUITING,
        share_printed=0.25,
        seasons=(1, 0.6, 1.3, 1.6),
    ),
    "Blazers": Kind(
        ("tweed", "velvet", "linen", "corduroy", "felt", "satin"),
        {
            "fit": ("slim", "regular"),
            "closure": ("one button", "two buttons", "double-breasted"),
            "pocket": ("flap", "patch", "welt"),
        },
        prints=_SUITING,
        share_printed=0.35,
    ),
    "Dresses": Kind(
        ("satin", "lace", "linen", "jersey", "knit", "velvet", "denim"),
        {
            "neck": ("crew", "v", "square"),
            "shape": ("fit-and-flare", "shift", "maxi"),
            "belt": ("none", "belt"),
            "closure": ("none", "none", "buttons"),
        },
        prints=_SOFT,
        share_printed=0.55,
        seasons=(1.2, 1.5, 0.9, 0.7),
    ),
    "Skirts": Kind(
        ("satin", "denim", "leather", "tweed", "corduroy", "lace", "knit", "suede"),
        {"shape": ("A-line", "pencil", "pleated"), "closure": ("none", "buttons", "zip"), "pocket": ("none", "patch")},
        prints=(*_SOFT, "tartan checks", "a houndstooth check"),
        share_printed=0.4,
    ),
    "Trousers": Kind(
        ("linen", "corduroy", "tweed", "velvet", "canvas", "satin", "leather"),
        {"shape": ("straight", "wide-leg", "tapered"), "pocket": ("slant", "cargo"), "crease": ("pressed", "plain")},
        prints=_SUITING,
        share_printed=0.3,
    ),
    "Jeans": Kind(
        ("denim", "denim", "denim", "corduroy"),
        {"shape": ("straight", "wide-leg", "tapered"), "wash": ("clean", "faded", "ripped"), "closure": ("zip", "buttons")},
        colours=_JEANS,
        prints=("pinstripes",),
        share_printed=0.06,
    ),
    "Shorts": Kind(
        ("linen", "denim", "canvas", "jersey", "ripstop", "corduroy", "leather"),
        {"shape": ("slim", "wide"), "pocket": ("slant", "cargo", "patch"), "waist": ("drawstring", "button")},
        prints=("gingham checks", "a floral print", "pinstripes", "bold stripes", "windowpane checks"),
        seasons=(1.2, 2.0, 0.7, 0.5),
    ),
    "Sneakers": Kind(
        ("canvas", "leather", "suede", "knit", "ripstop", "velvet"),
        {"closure": ("laces", "straps", "slip-on"), "height": ("low", "high"), "toe": ("cap", "plain")},
        prints=("gingham checks", "polka dots", "a floral print"),
        share_printed=0.15,
    ),
    "Boots": Kind(
        ("leather", "suede", "patent", "felt", "velvet"),
        {"height": ("ankle", "mid-calf", "knee-high"), "closure": ("elastic", "laces", "zip"), "heel": ("flat", "block")},
        colours=_LEATHERS,
    ),
    "Heels": Kind(
        ("patent", "satin", "suede", "leather", "velvet", "lace"),
        {"heel": ("stiletto", "block", "kitten"), "toe": ("pointed", "round"), "closure": ("slip-on", "ankle strap")},
        prints=("polka dots", "a houndstooth check"),
        share_printed=0.1,
    ),
    "Loafers": Kind(
        ("leather", "suede", "patent", "velvet", "tweed"),
        {"front": ("penny strap", "tassels", "horsebit"), "toe": ("round", "square")},
        colours=_LEATHERS,
        prints=("tartan checks",),
        share_printed=0.05,
    ),
    "Tote Bags": Kind(
        ("canvas", "leather", "denim", "suede", "linen", "felt", "corduroy"),
        {"shape": ("tall", "wide"), "closure": ("open top", "zip top", "snap tab"), "pocket": ("none", "front slip")},
        prints=("bold stripes", "breton stripes", "gingham checks", "a floral print", "tartan checks"),
        share_printed=0.35,
    ),
    "Backpacks": Kind(
        ("canvas", "leather", "ripstop", "suede", "denim", "down", "corduroy"),
        {"shape": ("round-top", "roll-top"), "pocket": ("zip", "flap", "two side"), "closure": ("zip", "buckle")},
        prints=("tartan checks", "polka dots", "windowpane checks"),
        share_printed=0.2,
    ),
    "Handbags": Kind(
        ("leather", "patent", "suede", "down", "velvet", "tweed", "satin"),
        {
            "shape": ("trapeze", "saddle", "frame"),
            "closure": ("turn-lock", "buckle", "clasp"),
            "strap": ("top handle", "chain"),
        },
        prints=("a houndstooth check", "polka dots"),
        share_printed=0.12,
    ),
}
