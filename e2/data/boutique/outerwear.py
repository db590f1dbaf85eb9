"""Silhouettes of jackets, coats and blazers, seen from the front."""

import numpy as np

from e2.data.boutique import tailoring as cut
from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, box, circle
from e2.data.boutique.tailoring import NECK

_SHORT = 0.5  # summer outerwear ends at the elbow


def _sleeves(design: Design, drawing: Drawing, cuff: str, wide: float) -> str:
    return cut.sleeves(drawing, design.season, cuff, wide, _SHORT if design.season == "Summer" else None)


def jacket(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = 39 * cut.FITS[design.details["fit"]], rng.uniform(40, 47)
    winter, closure = design.season == "Winter", design.details["closure"]
    ribbed = closure == "zip" and design.fabric in ("ripstop", "canvas", "leather", "suede", "fleece")
    sleeve = _sleeves(design, drawing, "rib" if ribbed else "shirt", 4)
    drawing.body = [drawing.part(cut.torso(hem, half, 14, 6))]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem - 8, half)
    if ribbed:
        cut.rib_hem(drawing, hem, half)
    else:
        drawing.seam("M -35 -38 Q 0 -34 35 -38")
        drawing.part(
            f"M {-half + 1} {hem - 8} Q 0 {hem - 4} {half - 1} {hem - 8} L {half - 1} {hem + 1} "
            f"Q 0 {hem + 5} {-half + 1} {hem + 1} Z",
            "cloth",
            90,
            0.4,
        )
        drawing.stitch("M 8 -34 L 12 32", both=True)
    _jacket_pockets(design, drawing)
    if closure == "zip":
        cut.zip_line(drawing, f"M 0 -62 L 0 {hem + 3}", (0, -54))
    else:
        drawing.part(f"M -4 -62 L 4 -62 L 4 {hem + 3} L -4 {hem + 3} Z", "cloth", bulge=0.1)
        drawing.stitch(f"M 3 -58 L 3 {hem + 2}")
        cut.buttons(drawing, 0, -50, hem - 3, 6, 2.1, "metal" if closure == "snaps" else "button")
    if winter:
        collar = cut.fur_collar(drawing, -48)
    elif ribbed:
        collar = drawing.part(
            "M -15 -68 C -14 -76 -12 -79 -10 -80 Q 0 -74 10 -80 C 12 -79 14 -76 15 -68 C 9 -61 4 -60 0 -60 "
            "C -4 -60 -9 -61 -15 -68 Z",
            "rib",
            bulge=0.6,
        )
    else:
        collar = cut.shirt_collar(drawing, spread=2)
    drawing.cue = cut.on_both_sides(collar) if winter else [sleeve]
    drawing.anchors = {"left": (-20, -26), "right": (20, -26), "low": (-20, hem - 22)}


def _jacket_pockets(design: Design, drawing: Drawing) -> None:
    if design.details["pocket"] == "flap chest":
        cut.pocket(drawing, 9, -34, 29, -12, 7)
        cut.pocket(drawing, -29, -34, -9, -12, 7)
    elif design.details["pocket"] == "slant":
        drawing.seam("M 20 6 L 27 28", both=True)
        drawing.line("M 21 6 L 28 28", "metal", 1.1, "1 .6")
        drawing.line("M -21 6 L -28 28", "metal", 1.1, "1 .6")


def coat(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = (42 if design.details["fit"] == "slim" else 47), rng.uniform(94, 106)
    belted, winter = design.details["belt"] == "belt", design.season == "Winter"
    sleeve = _sleeves(design, drawing, "shirt", 2)
    drawing.part(box(-14, NECK - 3, 14, -30), "lining" if not winter else "inside", bulge=-0.6)
    drawing.body = [drawing.part(cut.v_torso(hem, half, 14, 34, waist=5 if belted else 0))]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem, half)
    drawing.seam(f"M 2 -34 C 3 0 4 40 4 {hem + 3}")
    double = design.details["closure"] == "double-breasted"
    if design.details["closure"] == "toggles":
        _toggles(drawing)
    elif double:
        for x in (-8, 10):
            cut.buttons(drawing, x, -22, 26, 4 if not belted else 3, 2.6)
    else:
        cut.buttons(drawing, 0, -26, 34, 4, 2.6)
    _low_pockets(design, drawing, 38)
    if belted:
        drawing.part("M -37 2 Q 0 7 37 2 L 37.5 11 Q 0 16 -37.5 11 Z", "cloth", 90, 0.3)
        drawing.stitch("M -36 4 Q 0 9 36 4")
        drawing.part(box(-6, 3.5, 8, 14.5), "metal", bulge=0.2)
        drawing.part(box(-3.6, 5.8, 5.6, 12.4), "cloth", bulge=0.1)
    collar = cut.fur_collar(drawing, -36) if winter else _lapels(drawing, -34, 22)
    drawing.cue = cut.on_both_sides(collar) if winter else [sleeve]
    drawing.anchors = {"left": (-22, -22), "right": (23, -22), "low": (-24, 74)}


def _toggles(drawing: Drawing) -> None:
    for y in (-24, -6, 14, 33):
        drawing.line(f"M -10 {y} L 9 {y}", "cord", 1.2)
        drawing.line(f"M -10 {y - 2} L -10 {y + 2} M 9 {y - 2} L 9 {y + 2}", "edge", 1.2)
        drawing.part(f"M -4 {y - 1.6} Q 0 {y - 2.6} 4 {y - 1.6} L 4 {y + 1.6} Q 0 {y + 2.6} -4 {y + 1.6} Z", "hide", bulge=0.8)


def _low_pockets(design: Design, drawing: Drawing, y: float) -> None:
    kind = design.details["pocket"]
    if kind == "flap":
        drawing.pair(f"M 14 {y - 20} L 33 {y - 17} L 33 {y - 9} L 14 {y - 12} Z", "cloth", 8, 0.1)
    elif kind == "patch":
        cut.pocket(drawing, 13, y - 18, 33, y + 6)
        cut.pocket(drawing, -33, y - 18, -13, y + 6)
    elif kind == "welt":
        drawing.seam(f"M 13 {y - 18} L 31 {y - 15}", both=True)


def _lapels(drawing: Drawing, low: float, reach: float) -> str:
    """Notched lapels under a small collar; ``low`` is where they meet."""
    lapel = (
        f"M 0 {low} C 3 {low - 14} 8 -60 12 -70 L {reach - 3} -58 L {reach - 6} -56 L {reach + 1} -52 "
        f"C {reach - 3} {low - 10} 8 {low - 3} 0 {low} Z"
    )
    path = drawing.pair(lapel, "collar", 22, 0.3)
    drawing.pair("M 9 -77 C 13 -76 16 -73 18.5 -68 L 20 -60 L 15 -57 C 13 -63 11 -68 8 -72 Z", "collar", 30, 0.3)
    drawing.stitch(f"M 3 {low - 3.5} C 10 {low - 6} {reach - 5} {low - 12} {reach - 1.4} -51.5", both=True)
    return path


def blazer(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    half, hem = (37 if design.details["fit"] == "slim" else 41), rng.uniform(56, 64)
    winter, closure = design.season == "Winter", design.details["closure"]
    low = {"one button": -2, "two buttons": -10, "double-breasted": -16}[closure]
    sleeve = _sleeves(design, drawing, "shirt", 1)
    drawing.part(box(-14, NECK - 3, 14, low + 2), "snow" if not winter else "lining", bulge=-0.5)
    drawing.part(box(-14, NECK - 6, 14, NECK + 3), "lining", bulge=-0.4)
    rounded = f"L -18 {hem + 3} C -8 {hem + 2} -2 {hem - 6} 0 {hem - 24} C 2 {hem - 6} 8 {hem + 2} 18 {hem + 3} L {half} {hem}"
    body = cut.v_torso(hem, half, 14, low - NECK, waist=5).replace(f"Q 0 {hem + 4.0} {half} {hem}", rounded)
    drawing.body = [drawing.part(body)]
    cut.armholes(drawing)
    cut.drape(drawing, rng, hem, half)
    drawing.seam(f"M 0 {low} C 1 20 1 30 0 {hem - 26}")
    drawing.seam(f"M 24 -30 C 20 0 22 30 26 {hem}", both=True)
    if closure == "double-breasted":
        for x in (-9, 9):
            cut.buttons(drawing, x, -6, 18, 3, 2.2)
    else:
        cut.buttons(drawing, -1.5, low + 5, 16, 1 if closure == "one button" else 2, 2.3)
    _low_pockets(design, drawing, 36)
    if design.details["pocket"] != "patch":
        drawing.part("M 13 -26 L 27 -28 L 27.4 -24.6 L 13.4 -22.6 Z", "collar", 8, 0.1)
    collar = _lapels(drawing, low, 24)
    if winter:
        collar = cut.fur_collar(drawing, -34)
    drawing.cue = cut.on_both_sides(collar) if winter else [sleeve]
    drawing.anchors = {"left": (-22, -20), "right": (22, -20), "low": (-22, 44)}
    for y in (40, 45) if design.season in ("Autumn", "Winter") else ():
        drawing.part(circle(61, y, 1.2), "button", bulge=0.4)
