"""Silhouettes of heeled shoes, from the side, toe to the left: drawn flat, then lifted onto their heel."""

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, Part, circle
from e2.data.boutique.shoes import season_cue

_LIFTS = {"stiletto": 56.0, "block": 48.0, "kitten": 27.0}
_GROUND = 46.0


def heel(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    lift = _LIFTS[design.details["heel"]] + rng.uniform(-2, 2)
    drawing.part("M -24 12 Q 14 22 58 4 L 56 28 L -20 32 Z", "inside", bulge=0.2)
    nose = "-84 40 C -72 30" if design.details["toe"] == "pointed" else "-76 40 C -74 20"
    tip = nose.split()[0]
    body = (
        f"M {nose} -54 16 -34 10 C -26 7 -22 10 -18 14 C 0 26 26 30 42 20 C 48 6 56 -2 63 0 "
        f"C 66 12 66 28 63 40 C 40 42 20 41 2 40 C -20 40 -50 40 {tip} 40 Z"
    )
    drawing.body = [drawing.part(body, "cloth", -8, 0.9)]
    drawing.seam("M 34 28 Q 38 36 42 40")
    drawing.fold("M -68 34 Q -46 26 -26 20", 0.45, 4)
    sole = _sole(design, drawing, float(tip), lift)
    if design.details["closure"] == "ankle strap":
        far = "M 63 0 C 58 -18 32 -26 18 -18 L 19 -13 C 32 -20 54 -13 59 2 Z"
        drawing.items.insert(0, Part(far, "inside", 70, 0.2))
        drawing.part("M 64 -3 C 52 0 32 -6 17 -18 L 19 -12 C 32 -1 52 5 64 3 Z", "cloth", 70, 0.5)
        drawing.part(circle(38, -4, 2.6), "metal", bulge=0.5)
    collar = (
        "M 40 24 C 46 10 54 -6 66 -6 C 69 2 68 10 64 13 C 58 16 52 24 46 30 C 20 38 0 34 -18 22 L -16 13 C 0 24 20 32 40 24 Z"
    )
    season_cue(design, drawing, sole, collar, (-54, 24, -0.7))
    drawing.anchors = {"left": (-22, 20) if design.season == "Spring" else (-38, 22), "right": (55, 22), "low": (8, 34)}
    drawing.warp(lambda points: points - np.stack([0 * points[:, 0], lift * _rise(points[:, 0])], axis=1))
    _post(design, drawing, lift)


def _rise(x: np.ndarray) -> np.ndarray:
    """Share of the heel's height that the arch has reached."""
    t = np.clip((x + 34) / 84, 0, 1)
    return t * t * (3 - 2 * t)


def _sole(design: Design, drawing: Drawing, tip: float, lift: float) -> str:
    """A thin sole, or a platform of jute or rubber under the ball of the foot."""
    upper = f"M {tip} 39 C -50 41 -20 41 2 40 C 20 41 40 42 63 40"
    if design.season in ("Summer", "Autumn"):
        ground = 49 + lift * float(_rise(np.array(4.0)))
        fill = "jute" if design.season == "Summer" else "ink"
        path = f"{upper} L 62 45 C 40 47 20 49 4 {ground:.1f} L -34 49 L {tip + 6} 49 C {tip - 2} 47 {tip - 3} 42 {tip} 39 Z"
        return drawing.part(path, fill, 90, 0.4)
    return drawing.part(f"{upper} L 62 44 C 40 46 20 45 2 45 C -30 46 -60 46 {tip + 4} 45 Z", "sole", 0, 0.3)


def _post(design: Design, drawing: Drawing, lift: float) -> None:
    """The heel itself, behind the shoe."""
    top = 40 - lift
    if design.details["heel"] == "block":
        inner = f"L 41 {_GROUND} C 41 32 40 {top + 14} 34 {top + 4} Z"
        path = f"M 34 {top + 4} L 64 {top - 2} C 64 {top + 16} 63 36 63 {_GROUND} {inner}"
    else:
        inner = f"L 54.5 {_GROUND} C 55 28 53 {top + 14} 38 {top + 4} Z"
        path = f"M 38 {top + 4} L 64 {top - 2} C 64 {top + 12} 60 30 60 {_GROUND} {inner}"
    covered = design.fabric in ("patent", "satin", "leather")
    drawing.items.insert(0, Part(path, "cloth" if covered else "heel", 0, 0.9))
