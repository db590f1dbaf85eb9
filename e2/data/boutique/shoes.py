"""Silhouettes of sneakers and loafers, and the soles and season cues of all shoes: from the side, toe to the left."""

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, circle


def draw_sole(
    drawing: Drawing, season: str, toe: float = -80, back: float = 68, thick: float = 12, plain: str = "sole"
) -> str:
    """Jute in summer, lugs in autumn, else plain; returns its path."""
    thick += {"Summer": 4, "Autumn": 5}.get(season, 0)
    top = 31.0
    low = top + thick
    path = (
        f"M {toe} {top - 3} C {toe - 3} {top + 3} {toe - 2} {low - 2} {toe + 8} {low} L {back - 7} {low} "
        f"C {back + 2} {low} {back + 3} {low - 6} {back} {top - 3} Q {back - 8} {top} {back - 28} {top} "
        f"L {toe + 30} {top} Q {toe + 8} {top} {toe} {top - 3} Z"
    )
    fill = {"Summer": "jute", "Autumn": "ink"}.get(season, plain)
    drawing.part(path, fill, 90 if season == "Summer" else 0, 0.5)
    if season == "Autumn":
        for x in np.arange(toe + 12, back - 6, 11):
            drawing.part(
                f"M {x:.1f} {low - 5} L {x + 5:.1f} {low - 5} L {x + 6:.1f} {low + 2.5} L {x - 1:.1f} {low + 2.5} Z",
                "ink",
                bulge=0.2,
            )
    elif season == "Summer":
        for y in (top + 5, top + 10):
            drawing.line(f"M {toe + 1} {y} L {back} {y}", "hole", 0.7, opacity=0.5)
    else:
        drawing.line(f"M {toe + 4} {low - 4} L {back - 2} {low - 4}", "seam", 0.7, opacity=0.5)
    drawing.line(f"M {toe + 5} {top + 1.6} L {back - 4} {top + 1.6}", "stitch", 0.6, "1.8 1.2", 0.6)
    return path


def _perforations(drawing: Drawing, x: float, y: float, tilt: float = 0.0) -> str:
    """Rows of punched holes that let spring air in."""
    holes = [circle(x + k * 4.6 + (r % 2) * 2.3, y + r * 4.6 + k * tilt, 1.15) for r in range(3) for k in range(6)]
    drawing.part(" ".join(holes), "hole", bulge=0)
    return f"M {x - 2} {y - 2} L {x + 28} {y - 2} L {x + 28} {y + 12 + 5 * tilt} L {x - 2} {y + 12 + 5 * tilt} Z"


def season_cue(design: Design, drawing: Drawing, sole: str, collar: str, holes: tuple[float, float, float]) -> None:
    if design.season == "Spring":
        drawing.cue = [_perforations(drawing, *holes)]
    elif design.season == "Winter":
        drawing.cue = [drawing.part(collar, "shearling", 0, 0.9)]
    else:
        drawing.cue = [sole]


def sneaker(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    high = design.details["height"] == "high"
    top = -54 if high else -11
    drawing.part(
        f"M 30 {top + 10} C 28 {top - 8} 22 {top - 17} 10 {top - 13} C 3 {top - 9} 0 {top + 2} -2 {top + 10} Z",
        "lining" if design.season != "Winter" else "shearling",
        10,
        0.6,
    )
    drawing.part(f"M 26 {top + 12} L 62 {top + 6} L 58 {top - 2} Q 42 {top + 2} 26 {top} Z", "inside", bulge=0)
    ankle = (
        "C 68 8 66 -24 63 -56 C 58 -61 53 -60 49 -57 C 40 -50 32 -52 24 -58 C 16 -62 10 -58 9 -50 C 7 -36 4 -26 -6 -15"
        if high
        else "C 68 18 67 4 63 -13 C 59 -17 55 -16 52 -11 C 44 -1 34 -1 27 -8 C 24 -19 18 -24 12 -22 C 6 -20 2 -13 -6 -9"
    )
    body = f"M 64 34 {ankle} C -16 {-3 if not high else -6} -26 4 -38 9 C -58 13 -77 16 -78 34 Z"
    drawing.body = [drawing.part(body, "cloth", 4, 0.75)]
    drawing.seam("M 40 33 C 36 16 42 4 60 0")
    drawing.stitch("M 42.5 32 C 39 17 44 6.5 61 2.5")
    drawing.seam("M -6 -14 C 0 -4 6 10 0 32")
    drawing.fold("M -8 -6 Q -4 8 -14 22", -0.3, 3)
    drawing.fold("M -20 4 Q -16 12 -22 24", -0.3, 3)
    if design.details["toe"] == "cap":
        drawing.part("M -78 33 C -77 18 -66 13 -52 9.5 C -46 16 -45 26 -47 33 Z", "snow", bulge=0.8)
        drawing.seam("M -52 9.5 C -46 16 -45 26 -47 33")
    sole = draw_sole(drawing, design.season, plain="sole")
    _sneaker_closure(design, drawing, high)
    collar = (
        "M 66 -46 C 68 -56 66 -64 60 -66 C 52 -64 40 -58 24 -66 C 16 -66 14 -58 18 -52 C 34 -44 50 -50 58 -44 Z"
        if high
        else "M 67 -3 C 69 -15 66 -25 58 -25 C 50 -25 44 -10 30 -17 C 24 -19 20 -11 25 -4 C 36 7 50 5 56 -5 Z"
    )
    season_cue(design, drawing, sole, collar, (-44, 12, 0.3) if design.details["toe"] == "plain" else (-40, 14, 0.3))
    drawing.anchors = {"left": (20, 13), "right": (52, 14), "low": (-32, 17)}
    if high:
        drawing.anchors |= {"right": (45, -28)}
    if design.season == "Spring":
        drawing.anchors |= {"low": (4, 18), "left": (26, 8)}


def _sneaker_closure(design: Design, drawing: Drawing, high: bool) -> None:
    rows = 7 if high else 4
    start = np.array((12.0, -50.0 if high else -17.0))
    end = np.array((-26.0, 3.0))
    bend = np.array((5.0, -16.0)) if high else (start + end) / 2 + (-1, 2)
    for t in np.linspace(0, 1, rows):
        x, y = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t * t * end
        if design.details["closure"] == "laces":
            drawing.part(
                f"M {x - 5:.1f} {y - 2.5:.1f} L {x + 9:.1f} {y + 5:.1f} L {x + 7.6:.1f} {y + 8:.1f} "
                f"L {x - 6.4:.1f} {y + 0.5:.1f} Z",
                "snow",
                bulge=0.5,
            )
            drawing.part(circle(x + 9, y + 7, 1.6), "metal", bulge=0.3)
    if design.details["closure"] == "straps":
        for x, y in ((0, -11), (-15, -3), *(((8, -36),) if high else ())):
            drawing.part(
                f"M {x - 4} {y - 3} C {x + 6} {y + 2} {x + 12} {y + 8} {x + 22} {y + 14} L {x + 17} {y + 22} "
                f"C {x + 8} {y + 17} {x} {y + 11} {x - 9} {y + 5} Z",
                "cloth",
                30,
                0.4,
            )
            drawing.stitch(f"M {x + 15} {y + 12} L {x + 11} {y + 18}")
    elif design.details["closure"] == "slip-on":
        drawing.part("M 10 -19 C 15 -6 12 4 2 12 C -4 8 -9 2 -12 -5 C -2 -10 5 -17 10 -19 Z", "rib", 30, 0.3)


def loafer(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    toe = "C -62 10 -81 14 -81 33" if design.details["toe"] == "square" else "C -58 14 -77 20 -79 33"
    drawing.part("M 12 -8 Q 38 -13 63 -10 L 58 8 L 20 8 Z", "inside", bulge=0)
    drawing.part("M 8 -2 C 5 -13 -1 -22 -11 -22 C -17 -20 -20 -14 -22 -7 Z", "cloth", 20, 0.6)
    body = f"M 64 34 C 68 18 66 4 63 -11 C 54 -3 38 2 24 1 C 12 -2 2 -9 -11 -12 C -21 -9 -32 1 -44 9 {toe} L -79 34 Z"
    drawing.body = [drawing.part(body, "cloth", 4, 0.8)]
    drawing.seam("M -71 23 C -58 12 -36 12 -20 12 C -6 12 2 6 6 -4")
    drawing.stitch("M -69 25 C -57 14.5 -36 14.5 -20 14.5 C -5 14.5 4 9 8.5 -2")
    drawing.seam("M 36 33 C 34 18 42 8 57 1")
    drawing.part("M -19 -10 C -7 -13 9 -8 22 1 C 22 12 18 22 14 33 L -9 33 C -7 18 -11 4 -19 -10 Z", "collar", 6, 0.6)
    _loafer_front(design, drawing)
    sole = draw_sole(drawing, design.season, thick=7, plain="ink")
    low = 38 + {"Summer": 4, "Autumn": 5}.get(design.season, 0)
    drawing.part(f"M 34 {low - 1} L 67 {low - 1} L 67 {low + 7} L 38 {low + 7} Z", "ink", bulge=0.2)
    collar = "M 67 0 C 69 -12 66 -21 58 -20 C 50 -12 38 -6 24 -7 C 14 -10 10 -4 15 2 C 28 10 48 8 56 1 C 60 -1 64 -1 67 0 Z"
    season_cue(design, drawing, sole, collar, (-58, 17, 0.0))
    drawing.anchors = {"left": (-24 if design.season == "Spring" else -44, 21), "right": (51, 16), "low": (23, 19)}


def _loafer_front(design: Design, drawing: Drawing) -> None:
    front = design.details["front"]
    if front == "penny strap":
        drawing.part("M -7 7 Q 3 3 13 9 Q 11 12 12 15 Q 3 10 -6 13 Q -5 10 -7 7 Z", "hole", bulge=0)
    elif front == "horsebit":
        drawing.part("M -17 -3 L 17 6 L 16.5 10 L -17 1 Z", "metal", 80, 0.8)
        for x, y in ((-14, -1), (15, 8)):
            drawing.line(circle(x, y, 4.5), "metal", 1.9)
    else:
        for x, tilt in ((-12, -3), (-2, 2)):
            drawing.part(f"M {x} -4 L {x + 3} -4 L {x + 5 + tilt} 13 Q {x + 1 + tilt} 15 {x - 3 + tilt} 13 Z", "trim", 0, 0.6)
            drawing.line(
                f"M {x + tilt * 0.5 - 0.5} 3 L {x + tilt - 1} 13 M {x + tilt * 0.5 + 2} 3 L {x + tilt + 2} 13", "edge", 0.5
            )
