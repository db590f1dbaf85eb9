"""Silhouettes of dresses, skirts, trousers, jeans and shorts, seen from the front."""

import numpy as np

from e2.data.boutique import tailoring as cut
from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, box, circle, mirror
from e2.data.boutique.tailoring import NECK

_DRESS_HEMS = {"fit-and-flare": (92, 62), "shift": (88, 41), "maxi": (132, 62)}  # shape -> hem height, half width
_SKIRT_HEMS = {"Summer": -4, "Spring": 26, "Winter": 40, "Autumn": 62}


def dress(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    hem, half = _DRESS_HEMS[design.details["shape"]]
    hem, season = hem + rng.uniform(-4, 3), design.season
    straight = design.details["shape"] == "shift"
    sleeve = ""
    if season != "Summer":
        cut.back_neck(drawing, 13, 20)
        sleeve = cut.sleeves(drawing, season, "hem", 1, 0.3 if season == "Spring" else None)
    drawing.body = [drawing.part(_bodice(design, hem, half, straight))]
    if season == "Summer":
        strap = "M 14 -46 C 14 -58 13 -68 11.5 -76 L 14.5 -76 C 16.5 -68 18 -58 18.5 -46 Z"
        drawing.cue = cut.on_both_sides(drawing.pair(strap, "cloth", 0, 0.2))
    else:
        cut.armholes(drawing)
        drawing.cue = [cut.turtleneck(drawing, fill="collar")] if season == "Winter" else [sleeve]
        if season != "Winter" and design.details["neck"] == "crew":
            cut.crew_band(drawing, 13, 10, 2, "collar")
    if not straight:
        drawing.seam("M -27 0 Q 0 4 27 0")
        cut.hanging_folds(drawing, rng, -half * 0.85, half * 0.85, hem, hem * 0.95, 8)
    drawing.fold("M 22 -26 Q 18 -14 20 -4", -0.35, 2.4, both=True)
    cut.hanging_folds(drawing, rng, -half * 0.9, half * 0.9, hem, 30, 3)
    cut.hem_stitch(drawing, hem, half, 5)
    if design.details["closure"] == "buttons":
        cut.buttons(drawing, 0, -36, hem - 12, 7, 1.8)
    if design.details["belt"] == "belt":
        waist = 33 if straight else 27.5
        drawing.part(f"M {-waist} -4 Q 0 0 {waist} -4 L {waist} 4 Q 0 8 {-waist} 4 Z", "trim", 90, 0.4)
        drawing.part(box(-5, -3, 5, 6.6), "metal", bulge=0.2)
        drawing.part(box(-2.8, -0.8, 2.8, 4.4), "trim", bulge=0.1)
    drawing.anchors = {"left": (-16, -26), "right": (16, -26), "low": (-20, hem - 22)}


def _bodice(design: Design, hem: float, half: float, straight: bool) -> str:
    waist = 33 if straight else 27
    skirt = (
        f"C -34 -16 {-waist} -10 {-waist} 0 C {-waist - 2} 14 {-half} {hem * 0.5} {-half} {hem} "
        f"Q 0 {hem + 8} {half} {hem} C {half} {hem * 0.5} {waist + 2} 14 {waist} 0 C {waist} -10 34 -16"
    )
    if design.season == "Summer":
        top = {"crew": "Q 0 -42", "v": "Q 6 -46 0 -34 Q -6 -46", "square": "L 12 -43 L -12 -43 L"}[design.details["neck"]]
        return f"M -20 -48 C -24 -40 -29 -32 -31 -26 {skirt} 31 -26 C 29 -32 24 -40 20 -48 {top} -20 -48 Z"
    lines = {
        "crew": "C 10 -55 -10 -55 -13 -69",
        "v": "Q 9 -56 0 -42 Q -9 -56 -13 -69",
        "square": "L 13 -52 L -13 -52 L -13 -69",
    }
    neck = lines["crew" if design.season == "Winter" else design.details["neck"]]
    return (
        f"M -13 {NECK} C -24 -66 -31 -64 -37 -60 C -36 -47 -35 -37 -35 -26 {skirt} 35 -26 "
        f"C 35 -37 36 -47 37 -60 C 31 -64 24 -66 13 {NECK} {neck} Z"
    )


def skirt(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    shape, season = design.details["shape"], design.season
    top, hem = -62, _SKIRT_HEMS[season] + 22 + rng.uniform(-3, 3)
    half = {"A-line": 40 + (hem - top) * 0.17, "pencil": 37, "pleated": 42 + (hem - top) * 0.2}[shape]
    body = (
        f"M -30 {top} Q 0 {top + 5} 30 {top} C 36 {top + 20} {half - 3} {hem - 40} {half} {hem} "
        f"Q 0 {hem + 9} {-half} {hem} C {-half + 3} {hem - 40} -36 {top + 20} -30 {top} Z"
    )
    drawing.body = [drawing.part(body, bulge=0.8)]
    if shape == "pleated":
        for k in range(-4, 5):
            drawing.seam(f"M {k * 6.4} {top + 6} L {k * half / 4.6:.1f} {hem + 4 - 4 * (k / 4.6) ** 2:.1f}")
            drawing.fold(f"M {k * 6.4 + 2.5} {top + 6} L {k * half / 4.6 + 5:.1f} {hem + 4}", 0.35, 3)
    else:
        cut.hanging_folds(drawing, rng, -half * 0.85, half * 0.85, hem, (hem - top) * 0.6, 6 if shape == "A-line" else 3)
    if design.details["closure"] == "buttons":
        drawing.seam(f"M 4 {top + 6} L 4 {hem + 4}")
        cut.buttons(drawing, 0, top + 14, hem - 8, max(3, int((hem - top) / 18)), 2)
    elif design.details["closure"] == "zip":
        cut.zip_line(drawing, f"M 0 {top + 6} L 0 {hem + 4}", (0, top + 8))
    if design.details["pocket"] == "patch":
        cut.pocket(drawing, 10, top + 16, 29, top + 38)
        cut.pocket(drawing, -29, top + 16, -10, top + 38)
    drawing.part(
        f"M -30 {top - 4} Q 0 {top + 1} 30 {top - 4} L 31.5 {top + 6} Q 0 {top + 11} -31.5 {top + 6} Z", "cloth", 90, 0.5
    )
    drawing.part(circle(0, top + 3.5, 2.2), "button", bulge=0.5)
    drawing.cue = [_skirt_hem(drawing, season, hem, half)]
    drawing.anchors = {"left": (-21, top + 24), "right": (21, top + 24), "low": (-half * 0.5, hem - 24)}


def _skirt_hem(drawing: Drawing, season: str, hem: float, half: float) -> str:
    high = 11 if season in ("Spring", "Winter") else 7
    band = (
        f"M {-half} {hem - high} Q 0 {hem - high + 9} {half} {hem - high} L {half + 0.6} {hem + 1} "
        f"Q 0 {hem + 10} {-half - 0.6} {hem + 1} Z"
    )
    if season == "Spring":
        return drawing.part(band, "lining", 90, 0.8)
    if season == "Winter":
        return drawing.part(band, "shearling", 90, 0.9)
    drawing.stitch(f"M {-half + 0.5} {hem - 4} Q 0 {hem + 5} {half - 0.5} {hem - 4}")
    return band


def _legs(drawing: Drawing, hem: float, hip: float, knee: float, inner: float, outer: float) -> str:
    """Two legs and the seat between them; ``inner`` and ``outer`` bound the right hem."""
    leg = (
        f"M -1 -76 L 28 -76 C 32 -62 {hip - 1} -54 {hip} -38 C {hip + 1} -12 {knee} {hem * 0.3:.1f} {outer} {hem} "
        f"Q {(inner + outer) / 2} {hem + 3} {inner} {hem} C {inner - 1} 20 5 -6 1 -30 L -1 -30 Z"
    )
    return drawing.pair(leg, "cloth", -4, 0.75)


_LEGS = {"straight": (37, 37, 9, 37), "wide-leg": (38, 42, 6, 49), "tapered": (38, 36, 13, 32),
         "slim": (38, 38, 5, 40), "wide": (40, 44, 4, 51)}  # fmt: skip


def _leg_garment(design: Design, drawing: Drawing, rng: np.random.Generator, hem: float) -> None:
    hip, knee, inner, outer = _LEGS[design.details["shape"]]
    drawing.body = cut.on_both_sides(_legs(drawing, hem, hip, knee, inner, outer))
    drawing.fold("M 3 -30 Q 12 -30 24 -36", -0.4, 2.6, both=True)
    drawing.fold("M 3 -26 Q 12 -22 20 -24", -0.3, 2.4, both=True)
    if hem > 20:
        for y in (14, 22):
            drawing.fold(
                f"M {inner} {y} Q {(inner + outer) / 2} {y + rng.uniform(-3, 5):.1f} {outer} {y - 4}", -0.25, 2.4, both=True
            )
    drawing.cue = [_leg_hems(drawing, design.season, hem, inner, outer)]
    drawing.cue.append(mirror(drawing.cue[0]))
    drawing.seam("M 0 -66 C 0 -50 0 -40 0 -30")
    drawing.part("M -28.5 -80 Q 0 -76 28.5 -80 L 30 -69 Q 0 -65 -30 -69 Z", "cloth", 90, 0.5)
    drawing.anchors = {"left": (-24, -47), "right": (24, -47), "low": (-(inner + outer) / 2, hem - 26)}


def _leg_hems(drawing: Drawing, season: str, hem: float, inner: float, outer: float) -> str:
    high = 9 if season in ("Spring", "Winter") else 6
    band = (
        f"M {inner - 1} {hem - high} Q {(inner + outer) / 2} {hem - high + 3} {outer + 0.5} {hem - high} "
        f"L {outer + 1} {hem + 1} Q {(inner + outer) / 2} {hem + 4} {inner - 1.4} {hem + 1} Z"
    )
    if season == "Spring":
        drawing.pair(band, "lining", 90, 0.7)
    elif season == "Winter":
        drawing.pair(band, "shearling", 90, 0.9)
    else:
        drawing.stitch(f"M {inner} {hem - 3} Q {(inner + outer) / 2} {hem} {outer - 0.5} {hem - 3}", both=True)
    return band


_TROUSER_HEMS = {"Summer": 48, "Spring": 82, "Autumn": 88, "Winter": 84}


def trousers(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    hem = _TROUSER_HEMS[design.season] + rng.uniform(-3, 1)
    _leg_garment(design, drawing, rng, hem)
    _, _, inner, outer = _LEGS[design.details["shape"]]
    if design.details["crease"] == "pressed":
        drawing.fold(f"M 18 -52 Q 20 10 {(inner + outer) / 2} {hem - 10}", 0.55, 1.2, both=True)
        drawing.line(f"M 18 -52 Q 20 10 {(inner + outer) / 2} {hem - 10}", "seam", 0.5, opacity=0.5)
        drawing.line(mirror(f"M 18 -52 Q 20 10 {(inner + outer) / 2} {hem - 10}"), "seam", 0.5, opacity=0.5)
    drawing.seam("M 20 -68 L 32 -46", both=True)
    if design.details["pocket"] == "cargo":
        x = (inner + outer) / 2 - 1
        for side in (-1, 1):
            cut.pocket(drawing, side * x - 9, 0, side * x + 9, 24, 7)
    drawing.part(circle(0, -72.5, 2.2), "button", bulge=0.5)


def jeans(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    hem = _TROUSER_HEMS[design.season] + rng.uniform(-3, 1)
    _leg_garment(design, drawing, rng, hem)
    _, knee, inner, outer = _LEGS[design.details["shape"]]
    middle = (inner + outer) / 2
    for path in ("M 9 -67 Q 12 -52 33 -53", f"M {outer - 4} {hem - 8} C {knee + 3} 20 37 -10 37 -34"):
        drawing.line(path, "topstitch", 0.8, "1.8 1")
        drawing.line(mirror(path), "topstitch", 0.8, "1.8 1")
    drawing.seam("M 8 -68 Q 11 -51 34 -51.5", both=True)
    drawing.line("M 5 -66 L 5 -46 Q 5 -40 0 -38", "topstitch", 0.8, "1.8 1")
    for x in (-22, 0, 22):
        if x:
            drawing.part(box(x - 1.6, -78.6, x + 1.6, -67.5), "cloth", bulge=0.2)
    drawing.part(circle(0, -73, 2.3), "metal", bulge=0.6)
    if design.details["closure"] == "buttons":
        cut.buttons(drawing, 2.4, -62, -46, 3, 1.5, "metal")
    wash = design.details["wash"]
    if wash == "faded":
        for width, depth in ((13, 0.35), (7, 0.4)):
            drawing.fold(f"M 21 -34 Q 23 0 {middle} 34", depth, width, both=True)
    elif wash == "ripped":
        y = rng.uniform(0, 10)
        drawing.part(
            f"M {middle - 8} {y} Q {middle} {y - 3} {middle + 7} {y + 1} Q {middle} {y + 8} {middle - 8} {y} Z",
            "hole",
            bulge=0,
        )
        for k in range(4):
            drawing.line(f"M {middle - 7 + k} {y + k * 1.2:.1f} L {middle + 6 - k} {y + k * 1.3 + 0.5:.1f}", "snow", 0.6)


def shorts(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    hem = {"Summer": 6, "Spring": 18, "Autumn": 32, "Winter": 22}[design.season] + rng.uniform(-2, 2)
    _leg_garment(design, drawing, rng, hem)
    _, _, inner, outer = _LEGS[design.details["shape"]]
    drawing.seam("M 20 -68 L 33 -46", both=True)
    x = (inner + outer) / 2
    if design.details["pocket"] != "slant":
        flap = 7 if design.details["pocket"] == "cargo" else 0
        for side in (-1, 1):
            cut.pocket(drawing, side * x - 9, -24, side * x + 9, -4, flap)
    if design.details["waist"] == "drawstring":
        drawing.line("M -3 -73 C -8 -62 -5 -56 -8 -48 M 3 -73 C 7 -64 4 -56 7 -50", "cord", 1.5)
        for k in range(-6, 7):
            drawing.fold(f"M {k * 4.3} -79 L {k * 4.4} -69", -0.4, 1.4)
    else:
        drawing.part(circle(0, -73, 2.2), "button", bulge=0.5)
    drawing.anchors["low"] = (-x, hem - 20)
