"""Colours: the named ones of the catalogue, what goes with what, and the colour of every material role."""

import colorsys

import numpy as np

COLOURS = {
    "black": "#2a292d", "charcoal": "#4d5056", "grey": "#9c9ea3", "white": "#f1efe9", "cream": "#e8d9bb",
    "camel": "#bf8f58", "brown": "#6f4a33", "burgundy": "#70202f", "red": "#b92f37", "terracotta": "#c66a4a",
    "pink": "#e6a6b2", "mustard": "#d6a038", "olive": "#74743f", "forest green": "#2c5b43", "sage": "#a3bd9d",
    "teal": "#2a6f78", "sky blue": "#93bada", "cobalt": "#2d57a8", "navy": "#27345c", "lilac": "#ae9acb",
}  # fmt: skip
# Second colours that sit well on a first one: for prints, linings and trims.
PARTNERS = {
    "black": ("white", "red", "camel", "grey", "mustard"),
    "charcoal": ("white", "mustard", "sky blue", "pink"),
    "grey": ("navy", "white", "burgundy", "black", "pink"),
    "white": ("navy", "red", "sky blue", "forest green", "black", "terracotta"),
    "cream": ("brown", "navy", "forest green", "terracotta", "burgundy"),
    "camel": ("cream", "navy", "black", "burgundy"),
    "brown": ("cream", "sky blue", "mustard", "pink"),
    "burgundy": ("cream", "pink", "navy", "grey"),
    "red": ("white", "navy", "cream", "black"),
    "terracotta": ("cream", "navy", "sage", "white"),
    "pink": ("white", "burgundy", "red", "charcoal"),
    "mustard": ("navy", "white", "brown", "black"),
    "olive": ("cream", "black", "mustard", "terracotta"),
    "forest green": ("cream", "white", "mustard", "pink"),
    "sage": ("white", "forest green", "cream", "navy"),
    "teal": ("cream", "white", "mustard", "black"),
    "sky blue": ("white", "navy", "cream", "brown"),
    "cobalt": ("white", "cream", "mustard", "black"),
    "navy": ("white", "cream", "red", "sky blue", "mustard"),
    "lilac": ("white", "navy", "cream", "burgundy"),
}
METALS = {"gold": "#d2a849", "silver": "#c3c7cc", "gunmetal": "#5c6067"}


def rgb(hex_colour: str) -> np.ndarray:
    """``#rrggbb`` -> three floats in 0..1."""
    return np.array([int(hex_colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


def to_hex(colour: np.ndarray) -> str:
    return "#" + "".join(f"{int(round(255 * min(1.0, max(0.0, c)))):02x}" for c in colour)


def mix(a: str, b: str, share: float) -> str:
    """The colour that is ``share`` of the way from ``a`` to ``b``."""
    return to_hex((1 - share) * rgb(a) + share * rgb(b))


def darker(colour: str, share: float) -> str:
    return mix(colour, "#100c10", share)


def lighter(colour: str, share: float) -> str:
    return mix(colour, "#ffffff", share)


def luminance(colour: str) -> float:
    return float(rgb(colour) @ (0.3, 0.59, 0.11))


def jittered(name: str, rng: np.random.Generator) -> str:
    """A dye lot of the named colour: hue, saturation and value vary a little, never into the next name."""
    hue, light, strength = colorsys.rgb_to_hls(*rgb(COLOURS[name]))
    hue += rng.uniform(-0.008, 0.008)
    light += rng.uniform(-0.022, 0.022)
    strength *= rng.uniform(0.92, 1.06)
    return to_hex(np.array(colorsys.hls_to_rgb(hue % 1, min(0.97, max(0.05, light)), min(1.0, strength))))


def roles(cloth: str, partner: str, metal: str, warm: str, sole: str) -> dict[str, str]:
    """Role -> colour, for one product.

    Args: the dyed cloth, its second colour, a metal of ``METALS``, the colour of shearling, the colour of the sole.
    """
    dark = luminance(cloth) < 0.3
    return {
        "cloth": cloth,
        "collar": mix(cloth, "#ffffff" if dark else "#14100f", 0.07),
        "rib": mix(cloth, "#ffffff" if dark else "#14100f", 0.1),
        "inside": darker(cloth, 0.5),
        "lining": partner,
        "trim": partner,
        "scarf": partner,
        "shearling": warm,
        "jute": "#cfae78",
        "hide": "#8a5a35",
        "sole": sole,
        "heel": darker(cloth, 0.25),
        "metal": METALS[metal],
        "button": lighter(cloth, 0.45) if dark else darker(cloth, 0.45),
        "cord": lighter(partner, 0.25),
        "seam": lighter(cloth, 0.12) if luminance(cloth) < 0.16 else darker(cloth, 0.45),
        "edge": darker(cloth, 0.38),
        "stitch": lighter(cloth, 0.4) if luminance(cloth) < 0.55 else darker(cloth, 0.3),
        "topstitch": "#d39a4a",
        "hole": darker(cloth, 0.72),
        "ink": "#1d1b1e",
        "snow": "#f6f3ec",
    }
