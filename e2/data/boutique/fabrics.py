"""The compositions: what each is called and how it takes the light."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fabric:
    """How a composition looks and what shops call it."""

    tag: str
    words: tuple[str, ...]  # noun phrases for descriptions: "in ... denim"
    contrast: float  # strength of the weave in the light, 0..1
    grain: float  # strength of fine irregularity
    gloss: float  # strength of the highlight
    sharpness: int  # the highlight's exponent is 2 ** sharpness
    wrinkle: float  # strength of soft folds
    coarse: float  # size of those folds in units
    ground: str = ""  # what shows between the yarns: "pale" (denim), "flecks" (tweed), "nude" (lace)


FABRICS = {
    "jersey": Fabric(
        "100% Cotton Jersey", ("soft cotton jersey", "cotton jersey", "smooth jersey"), 0.12, 0.04, 0.0, 3, 0.8, 22
    ),
    "denim": Fabric(
        "100% Cotton Denim", ("sturdy denim", "cotton denim", "twill-weave denim"), 0.5, 0.1, 0.0, 3, 0.9, 16, "pale"
    ),
    "knit": Fabric(
        "Merino Wool Knit", ("stitched merino knit", "merino knit", "fine merino wool"), 0.75, 0.05, 0.0, 3, 0.5, 26
    ),
    "cable": Fabric(
        "Cashmere Cable Knit", ("cable-knit cashmere", "braided cashmere", "chunky cable knit"), 0.9, 0.06, 0.0, 3, 0.35, 30
    ),
    "leather": Fabric(
        "Calf Leather", ("grained calf leather", "calf leather", "pebbled leather"), 0.3, 0.04, 0.34, 4, 0.6, 18
    ),
    "suede": Fabric("Suede Leather", ("brushed suede", "soft suede", "napped suede"), 0.22, 0.07, 0.0, 3, 0.6, 20),
    "satin": Fabric("Silk Satin", ("lustrous silk satin", "silk satin", "fluid silk"), 0.04, 0.015, 0.36, 3, 1.1, 26),
    "corduroy": Fabric(
        "Cotton Corduroy", ("ribbed corduroy", "wide-wale corduroy", "cotton corduroy"), 0.85, 0.08, 0.0, 3, 0.5, 24
    ),
    "tweed": Fabric("Wool Tweed", ("herringbone tweed", "flecked tweed", "wool tweed"), 0.5, 0.06, 0.0, 3, 0.45, 26, "flecks"),
    "linen": Fabric("Pure Linen", ("slubby linen", "pure linen", "crumpled linen"), 0.5, 0.06, 0.0, 3, 1.0, 11),
    "canvas": Fabric("Cotton Canvas", ("heavy canvas", "basket-weave canvas", "cotton canvas"), 0.6, 0.06, 0.0, 3, 0.5, 26),
    "fleece": Fabric("Recycled Fleece", ("teddy fleece", "curly fleece", "plush fleece"), 0.55, 0.06, 0.0, 3, 0.4, 26),
    "lace": Fabric("Guipure Lace", ("floral lace", "openwork lace", "guipure lace"), 0.55, 0.03, 0.0, 3, 0.4, 28, "nude"),
    "ripstop": Fabric(
        "Nylon Ripstop", ("ripstop nylon", "technical ripstop", "grid-weave nylon"), 0.55, 0.03, 0.2, 3, 1.0, 13
    ),
    "down": Fabric(
        "Quilted Down", ("quilted down", "padded, quilted nylon", "diamond-quilted down"), 1.0, 0.03, 0.22, 3, 0.7, 14
    ),
    "velvet": Fabric("Cotton Velvet", ("plush velvet", "deep-pile velvet", "cotton velvet"), 0.12, 0.06, -0.22, 1, 0.8, 26),
    "patent": Fabric(
        "Patent Leather", ("patent leather", "mirror-shine patent", "high-gloss patent leather"), 0.0, 0.01, 0.85, 5, 0.9, 26
    ),
    "felt": Fabric("Boiled Wool", ("felted wool", "boiled wool", "dense felted wool"), 0.2, 0.08, 0.0, 3, 0.35, 30),
}

# Cloths that are no composition: trims and hardware. (contrast, grain, gloss, sharpness, wrinkle, coarse)
TRIMS = {
    "smooth": Fabric("", (), 0.0, 0.02, 0.06, 3, 0.3, 20),
    "rib": Fabric("", (), 0.7, 0.04, 0.0, 3, 0.0, 20),
    "shearling": Fabric("", (), 0.5, 0.06, 0.0, 3, 0.0, 20),
    "jute": Fabric("", (), 0.9, 0.1, 0.0, 3, 0.0, 20),
    "rubber": Fabric("", (), 0.0, 0.03, 0.12, 3, 0.0, 20),
    "metal": Fabric("", (), 0.0, 0.0, 0.6, 4, 0.0, 20),
    "patch": Fabric("", (), 0.0, 0.0, 0.0, 3, 0.0, 20),
}
ROLE_TRIM = {
    "lining": "smooth",
    "inside": "smooth",
    "trim": "smooth",
    "scarf": "smooth",
    "hide": "smooth",
    "heel": "smooth",
    "rib": "rib",
    "shearling": "shearling",
    "jute": "jute",
    "cord": "jute",
    "sole": "rubber",
    "button": "metal",
    "metal": "metal",
    "ink": "rubber",
    "snow": "rubber",
    "hole": "patch",
    "patch": "patch",
}


MATERIALS = {**FABRICS, **TRIMS}
MATERIAL_INDEX = {name: i for i, name in enumerate(MATERIALS)}
