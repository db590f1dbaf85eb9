"""Silhouettes of boots, from the side, toe to the left."""

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, Part, circle
from e2.data.boutique.shoes import draw_sole, season_cue

_SHAFTS = {"ankle": -36.0, "mid-calf": -66.0, "knee-high": -104.0}


def boot(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    top = _SHAFTS[design.details["height"]] + rng.uniform(-3, 3)
    flare = 4 if design.details["height"] == "knee-high" else 1
    drawing.part(f"M 14 {top + 4} Q 38 {top - 6} {62 + flare} {top + 2} L 60 {top + 12} L 16 {top + 12} Z", "inside", bulge=0)
    body = (
        f"M 63 34 C 67 22 61 8 59 -6 C 59 -30 {61 + flare} {top + 20} {62 + flare} {top} "
        f"Q 38 {top + 7} {14 - flare} {top + 3} "
        f"C 15 {top + 20} 18 -26 12 -14 C 6 -4 -22 -2 -48 8 C -66 14 -76 22 -76 34 Z"
    )
    drawing.body = [drawing.part(body, "cloth", 0, 0.85)]
    drawing.fold("M 12 -16 Q 30 -14 54 -24", -0.4, 4)
    drawing.fold("M 8 -9 Q 26 -2 56 -6", -0.35, 4)
    drawing.fold("M 10 -13 Q 30 -8 56 -15", 0.3, 4)
    drawing.seam("M -28 4 C -22 12 -18 22 -18 33")
    drawing.seam("M 40 33 C 40 18 44 6 59 2")
    _boot_closure(design, drawing, top)
    sole = draw_sole(drawing, design.season, -78, 67)
    collar = (
        f"M {12 - flare} {top - 5} Q 38 {top + 2} {64 + flare} {top - 6} "
        f"C {67 + flare} {top + 4} {66 + flare} {top + 12} {63 + flare} {top + 16} Q 38 {top + 22} {14 - flare} {top + 18} "
        f"C {10 - flare} {top + 12} {10 - flare} {top + 4} {12 - flare} {top - 5} Z"
    )
    season_cue(design, drawing, sole, collar, (-54, 12, 0.0))
    drawing.anchors = {"left": (36, max(top + 27, -66)), "right": (46, 16), "low": (0, 16)}
    if design.details["heel"] == "block":
        _raise_heel(drawing)


def _raise_heel(drawing: Drawing) -> None:
    """Lifts the back of the flat boot and puts a block under it."""
    drawing.warp(lambda p: p - np.stack([0 * p[:, 0], 24 * np.clip((p[:, 0] + 50) / 90, 0, 1) ** 1.5], axis=1))
    drawing.items.insert(0, Part("M 28 18 L 68 10 C 67 30 66 46 65 50 L 37 50 C 36 40 33 26 28 18 Z", "ink", 0, 0.7))


def _boot_closure(design: Design, drawing: Drawing, top: float) -> None:
    kind = design.details["closure"]
    if kind == "elastic":
        high = max(top + 6, -40)
        drawing.part(f"M 30 {high} L 48 {high} C 46 -14 44 -4 40 2 C 36 -2 32 -12 30 {high} Z", "lining", 0, 0.2)
        for x in range(32, 48, 3):
            drawing.line(f"M {x} {high + 1} L {(x - 40) * 0.5 + 40:.1f} -6", "hole", 0.5, opacity=0.4)
    elif kind == "laces":
        for y in np.arange(max(top + 10, -60), -12, 7.5):
            drawing.part(f"M 12 {y:.1f} L 30 {y + 4:.1f} L 30 {y + 6.4:.1f} L 12 {y + 2.4:.1f} Z", "cord", 80, 0.4)
            drawing.part(circle(31, float(y) + 5, 1.7), "metal", bulge=0.3)
        for x, y in ((4, -8), (-8, -4)):
            drawing.part(f"M {x} {y} L {x + 16} {y + 9} L {x + 14.6} {y + 11.2} L {x - 1.6} {y + 2} Z", "cord", 60, 0.4)
            drawing.part(circle(x + 16.5, y + 10.5, 1.7), "metal", bulge=0.3)
    else:
        drawing.line(f"M 50 {top + 6} C 49 -30 48 -10 50 20", "edge", 2.4)
        drawing.line(f"M 50 {top + 6} C 49 -30 48 -10 50 20", "metal", 1.5, "1 .7")
