"""The words of the boutique: names of things, shapes, details, season cues and places."""

NOUNS = {
    "T-Shirts": ("t-shirt", "tee", "tee shirt"),
    "Shirts": ("shirt", "button-down shirt", "collared shirt"),
    "Hoodies": ("hoodie", "hooded sweatshirt", "hooded top"),
    "Sweaters": ("sweater", "jumper", "pullover"),
    "Cardigans": ("cardigan", "open-neck cardigan", "V-front cardigan"),
    "Jackets": ("jacket", "short jacket", "cropped jacket"),
    "Coats": ("coat", "overcoat", "long coat"),
    "Blazers": ("blazer", "tailored jacket", "suit jacket"),
    "Dresses": ("dress", "frock", "one-piece dress"),
    "Skirts": ("skirt", "high-waisted skirt"),
    "Trousers": ("pair of trousers", "pair of pants", "pair of slacks"),
    "Jeans": ("pair of jeans", "pair of five-pocket jeans"),
    "Shorts": ("pair of shorts", "pair of short pants"),
    "Sneakers": ("sneaker", "trainer", "sports shoe"),
    "Boots": ("boot", "walking boot", "city boot"),
    "Heels": ("heeled shoe", "pump", "court shoe"),
    "Loafers": ("loafer", "moccasin", "slip-on shoe"),
    "Tote Bags": ("tote bag", "tote", "shopper"),
    "Backpacks": ("backpack", "rucksack", "daypack"),
    "Handbags": ("handbag", "small bag", "purse"),
}
# The value of the first of fit, shape, height, heel, toe that the product has.
SHAPES = {
    "slim": ("slim", "narrow", "close-fitting"),
    "regular": ("regular", "classic", "straight"),
    "boxy": ("boxy", "roomy", "wide"),
    "fit-and-flare": ("fit-and-flare", "waisted, flared"),
    "shift": ("straight shift", "unfitted"),
    "maxi": ("floor-length", "maxi"),
    "A-line": ("A-line", "flared"),
    "pencil": ("pencil", "straight, narrow"),
    "pleated": ("pleated", "knife-pleated"),
    "straight": ("straight-leg", "straight"),
    "wide-leg": ("wide-leg", "loose-leg"),
    "tapered": ("tapered", "ankle-tapered"),
    "wide": ("wide", "broad"),
    "low": ("low-top", "low-cut"),
    "high": ("high-top", "ankle-high"),
    "ankle": ("ankle", "short"),
    "mid-calf": ("mid-calf", "mid-height"),
    "knee-high": ("knee-high", "tall"),
    "stiletto": ("stiletto", "slender-heeled"),
    "block": ("block-heel", "sturdy-heeled"),
    "kitten": ("kitten-heel", "low-heeled"),
    "round": ("round-toe", "soft-toed"),
    "square": ("square-toe", "blunt-toed"),
    "tall": ("tall", "upright"),
    "round-top": ("round-topped", "arched"),
    "roll-top": ("roll-top", "rolled-top"),
    "trapeze": ("trapeze", "trapezoid"),
    "saddle": ("saddle", "curved"),
    "frame": ("framed", "rounded, framed"),
}

_LINED = ("cuffs turned back to a {partner} lining", "{partner} turn-back cuffs", "three-quarter sleeves with {partner} cuffs")
_SLEEVES = {
    "Summer": ("short sleeves", "sleeves that end above the elbow", "light short sleeves"),
    "Spring": _LINED,
    "Autumn": ("long sleeves", "full-length sleeves", "sleeves down to the wrist"),
}
_ELBOWS = {**_SLEEVES, "Summer": ("elbow-length sleeves", "sleeves cut short at the elbow")}
_TURTLE = ("a folded turtleneck", "a high roll neck", "a warm turtle collar")
_FUR_COLLAR = ("a shearling collar", "a fluffy fleece collar", "a thick, curly shearling collar")
_TURN_UPS = ("{partner} turn-ups", "hems turned up in {partner}")
_FUR_HEMS = ("fluffy shearling hems", "shearling trims at the hem")
_SHOES = {
    "Summer": ("a braided jute sole", "an espadrille sole of jute"),
    "Spring": ("airy perforations", "rows of small punched holes"),
    "Autumn": ("a chunky lug sole", "a thick treaded sole"),
    "Winter": ("a shearling-lined collar", "a fluffy fleece trim at the opening"),
}
_BAGS = {
    "Summer": ("a natural jute handle", "a handle of twisted jute"),
    "Spring": ("a {partner} silk scarf knotted at the handle", "a {partner} bow on the handle"),
    "Autumn": ("a {partner} rain flap with two buckles", "a buckled storm flap in {partner}"),
    "Winter": ("a shearling trim along the top", "a fluffy fleece edge at the top"),
}
CUES = {
    **{name: {**_SLEEVES, "Winter": _TURTLE} for name in ("T-Shirts", "Sweaters")},
    **{name: {**_SLEEVES, "Winter": _FUR_COLLAR} for name in ("Shirts", "Cardigans")},
    **{name: {**_ELBOWS, "Winter": _FUR_COLLAR} for name in ("Jackets", "Coats", "Blazers")},
    "Hoodies": {**_SLEEVES, "Winter": ("a shearling-lined hood", "fluffy fleece inside the hood")},
    "Dresses": {
        "Summer": ("slim shoulder straps", "bare shoulders with narrow straps"),
        "Spring": ("short sleeves edged in {partner}", "{partner} cuffs on short sleeves"),
        "Autumn": ("long sleeves", "sleeves down to the wrist"),
        "Winter": _TURTLE,
    },
    "Skirts": {
        "Summer": ("a mini length", "a short, airy hem"),
        "Spring": ("a hem banded in {partner}", "a {partner} border at the hem"),
        "Autumn": ("a long hem", "a sweeping full length"),
        "Winter": ("a shearling border at the hem", "a fluffy fleece hem"),
    },
    **{
        name: {
            "Summer": ("a cropped length", "legs cut short above the ankle"),
            "Spring": _TURN_UPS,
            "Autumn": ("full-length legs", "long, plain hems"),
            "Winter": _FUR_HEMS,
        }
        for name in ("Trousers", "Jeans")
    },
    "Shorts": {
        "Summer": ("a very short leg", "a high-cut hem"),
        "Spring": _TURN_UPS,
        "Autumn": ("a knee-length cut", "legs down to the knee"),
        "Winter": _FUR_HEMS,
    },
    **dict.fromkeys(("Sneakers", "Boots", "Heels", "Loafers"), _SHOES),
    **dict.fromkeys(("Tote Bags", "Backpacks", "Handbags"), _BAGS),
}

GLYPH_WORDS = {
    "star": "star",
    "bolt": "lightning",
    "leaf": "leaf",
    "wave": "wave",
    "peak": "mountain",
    "crown": "crown",
    "moon": "moon",
    "drop": "drop",
    "heart": "heart",
    "bars": "three-bar",
    "cross": "cross",
    "arrow": "arrow",
    "bird": "bird",
    "clover": "clover",
    "gem": "gem",
    "chevron": "chevron",
}
_CHEST_PLACES = {"left": "on the left chest", "right": "on the right chest", "low": "low on the left, above the hem"}
_HIP_PLACES = {"left": "at the left hip", "right": "at the right hip", "low": "low on the left leg"}
_BAG_PLACES = {"left": "on the left of the front", "right": "on the right of the front", "low": "low in the middle"}
PLACE_WORDS = {
    **dict.fromkeys(("T-Shirts", "Shirts", "Sweaters", "Cardigans", "Jackets", "Coats", "Blazers", "Dresses"), _CHEST_PLACES),
    "Hoodies": {**_CHEST_PLACES, "low": "low on the front"},
    **dict.fromkeys(("Trousers", "Jeans", "Shorts"), _HIP_PLACES),
    "Skirts": {**_HIP_PLACES, "low": "low on the left, above the hem"},
    "Sneakers": {"left": "on the side", "right": "at the heel", "low": "near the toes"},
    "Boots": {"left": "on the shaft", "right": "at the heel", "low": "over the instep"},
    "Heels": {"left": "on the toe", "right": "at the heel", "low": "on the side"},
    "Loafers": {"left": "near the toe", "right": "at the heel", "low": "on the side"},
    **dict.fromkeys(("Tote Bags", "Backpacks"), _BAG_PLACES),
    "Handbags": {**_BAG_PLACES, "low": "low on the right"},
}
