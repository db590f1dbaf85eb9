"""Silhouettes of tote bags, backpacks and handbags, seen from the front."""

import numpy as np

from e2.data.boutique import tailoring as cut
from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, box, circle


def _handle(drawing: Drawing, half: float, base: float, top: float, width: float, fill: str) -> str:
    """An arched handle that rises from ``base`` to ``top``."""
    inner = half - width
    rise = (top - base) * 4 / 3 + base
    path = (
        f"M {-half} {base} C {-half} {rise} {half} {rise} {half} {base} L {inner} {base} "
        f"C {inner} {rise + width * 1.35} {-inner} {rise + width * 1.35} {-inner} {base} Z"
    )
    drawing.part(path, fill, 0, 0.2)
    if fill != "jute":
        rim = (half + inner) / 2
        drawing.stitch(f"M {-rim} {base} C {-rim} {rise + width * 0.7} {rim} {rise + width * 0.7} {rim} {base}")
    return path


def _scarf(drawing: Drawing, x: float, y: float) -> str:
    """A silk scarf knotted round the handle."""
    tails = (
        f"M {x} {y} C {x - 8} {y + 14} {x - 14} {y + 22} {x - 12} {y + 36} L {x - 3} {y + 30} "
        f"C {x - 3} {y + 20} {x + 1} {y + 12} {x + 2} {y + 4} Z"
    )
    other = (
        f"M {x} {y} C {x + 6} {y + 12} {x + 12} {y + 18} {x + 14} {y + 30} L {x + 5} {y + 28} "
        f"C {x + 3} {y + 18} {x - 1} {y + 10} {x - 2} {y + 4} Z"
    )
    loop = f"M {x} {y} C {x - 10} {y - 12} {x - 20} {y - 8} {x - 18} {y} C {x - 16} {y + 8} {x - 8} {y + 6} {x} {y} Z"
    other_loop = (
        f"M {x} {y} C {x + 10} {y - 12} {x + 20} {y - 6} {x + 17} {y + 2} C {x + 14} {y + 9} {x + 8} {y + 5} {x} {y} Z"
    )
    for path in (tails, other, loop, other_loop):
        drawing.part(path, "scarf", 30, 0.9)
        drawing.line(path, "stitch", 0.8, opacity=0.7)
    drawing.part(circle(x, y, 4), "scarf", 0, 0.9)
    return f"M {x - 19} {y - 9} L {x + 19} {y - 9} L {x + 19} {y + 35} L {x - 19} {y + 35} Z"


def _rain_flap(drawing: Drawing, half: float, top: float, depth: float) -> str:
    """A buckled flap against the rain."""
    path = (
        f"M {-half} {top} Q 0 {top - 5} {half} {top} "
        f"C {half + 1} {top + depth * 0.6} {half - 6} {top + depth} {half - 16} {top + depth} "
        f"L {-half + 16} {top + depth} "
        f"C {-half + 6} {top + depth} {-half - 1} {top + depth * 0.6} {-half} {top} Z"
    )
    drawing.part(path, "trim", 0, 0.4)
    drawing.stitch(
        f"M {-half + 3} {top + 4} "
        f"C {-half + 3} {top + depth * 0.6} {-half + 8} {top + depth - 3} {-half + 17} {top + depth - 3} "
        f"L {half - 17} {top + depth - 3} "
        f"C {half - 8} {top + depth - 3} {half - 3} {top + depth * 0.6} {half - 3} {top + 4}"
    )
    for x in (-half * 0.5, half * 0.5):
        drawing.part(box(x - 3, top + depth - 12, x + 3, top + depth + 9, 2), "hide", bulge=0.4)
        drawing.part(box(x - 4.4, top + depth - 4, x + 4.4, top + depth + 3), "metal", bulge=0.2)
    return path


def _fur_band(drawing: Drawing, half: float, lower_half: float, top: float, height: float) -> str:
    path = (
        f"M {-half - 1.5} {top - 3} Q 0 {top - 6} {half + 1.5} {top - 3} "
        f"L {lower_half + 2} {top + height} Q 0 {top + height + 4} {-lower_half - 2} {top + height} Z"
    )
    return drawing.part(path, "shearling", 0, 0.6)


def tote(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    wide = design.details["shape"] == "wide"
    half, low, top = (58, 54, -22) if wide else (43, 74, -28)
    arch = -74 if wide else -84
    grip = "jute" if design.season == "Summer" else "trim"
    _handle(drawing, 22, top + 6, arch + 5, 5.5, "inside")
    drawing.part(
        f"M {-half + 2} {top} Q 0 {top - 9} {half - 2} {top} L {half - 4} {top + 12} L {-half + 4} {top + 12} Z",
        "inside",
        bulge=0,
    )
    taper = 4 if wide else -3
    body = (
        f"M {-half} {top} Q 0 {top + 3} {half} {top} "
        f"C {half + 1} {top + 30} {half - taper} {low - 20} {half - taper} {low} "
        f"Q 0 {low + 6} {-half + taper} {low} "
        f"C {-half + taper} {low - 20} {-half - 1} {top + 30} {-half} {top} Z"
    )
    drawing.body = [drawing.part(body, "cloth", 0, 0.6)]
    drawing.seam(f"M {-half + taper + 1} {low - 14} Q 0 {low - 8} {half - taper - 1} {low - 14}")
    drawing.stitch(f"M {-half + 1} {top + 5} Q 0 {top + 8} {half - 1} {top + 5}")
    cut.hanging_folds(drawing, rng, -half * 0.8, half * 0.8, low, (low - top) * 0.6, 4)
    if design.details["pocket"] == "front slip":
        cut.pocket(drawing, -24, top + 36, 24, low - 18)
    if design.details["closure"] == "zip top":
        cut.zip_line(drawing, f"M {-half + 3} {top + 1} Q 0 {top + 3.5} {half - 3} {top + 1}", (half - 14, top + 1))
    elif design.details["closure"] == "snap tab":
        drawing.part(box(-6, top - 4, 6, top + 18, 5), "trim", bulge=0.3)
        drawing.part(circle(0, top + 15, 2.6), "metal", bulge=0.6)
    cue = ""
    if design.season == "Winter":
        cue = _fur_band(drawing, half, half, top, 15)
    handle = _handle(drawing, 24, top + 12, arch, 5.5, grip)
    for x in (-21, 21):
        drawing.part(box(x - 4, top + 8, x + 4, top + 20), grip, bulge=0.2)
    if design.season == "Autumn":
        cue = _rain_flap(drawing, half * 0.72, top - 1, 30)
    elif design.season == "Spring":
        cue = _scarf(drawing, -21, top - 14)
    drawing.cue = [cue or handle]
    x = half - 20
    drawing.anchors = {"left": (-x + 3, top + 48), "right": (x - 3, top + 48), "low": (0, low - 26)}


def backpack(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    roll = design.details["shape"] == "roll-top"
    for side in (-1, 1):
        drawing.part(
            f"M {side * 34} -50 C {side * 58} -44 {side * 60} 20 {side * 50} 66 L {side * 43} 64 "
            f"C {side * 50} 20 {side * 48} -30 {side * 30} -42 Z",
            "trim",
            0,
            0.3,
        )
    handle = _handle(drawing, 15, -60, -86, 6, "jute" if design.season == "Summer" else "trim")
    if roll:
        body = (
            "M -38 -66 Q 0 -62 38 -66 C 42 -40 46 -10 48 66 C 47 74 42 77 34 77 L -34 77 "
            "C -42 77 -47 74 -48 66 C -46 -10 -42 -40 -38 -66 Z"
        )
    else:
        body = (
            "M -47 66 C -50 30 -50 -20 -43 -44 C -34 -72 34 -72 43 -44 C 50 -20 50 30 47 66 "
            "C 46 74 41 77 33 77 L -33 77 C -41 77 -46 74 -47 66 Z"
        )
    drawing.body = [drawing.part(body, "cloth", 0, 0.75)]
    drawing.fold("M -44 20 Q -30 24 -28 40", -0.3, 4, both=True)
    if roll:
        drawing.part("M -39 -70 Q 0 -66 39 -70 L 40 -54 Q 0 -50 -40 -54 Z", "cloth", 90, 0.9)
        drawing.fold("M -38 -62 Q 0 -58 38 -62", -0.3, 2)
    elif design.details["closure"] == "zip":
        cut.zip_line(drawing, "M -46 8 C -46 -20 -42 -56 0 -56 C 42 -56 46 -20 46 8", (46, 4))
    _backpack_pocket(design, drawing)
    if design.details["closure"] == "buckle":
        drawing.part(box(-4, -60, 4, 2, 2), "hide", bulge=0.3)
        drawing.part(box(-6, -22, 6, -12), "metal", bulge=0.2)
        drawing.part(box(-3.4, -20, 3.4, -14.4), "hide", bulge=0.1)
    cue = handle
    if design.season == "Autumn":
        cue = _rain_flap(drawing, 40, -58 if not roll else -70, 44)
    elif design.season == "Winter":
        cue = drawing.part(
            "M -40 -52 C -30 -72 30 -72 40 -52 C 46 -40 42 -36 36 -38 C 22 -50 -22 -50 -36 -38 C -42 -36 -46 -40 -40 -52 Z",
            "shearling",
            0,
            0.8,
        )
    elif design.season == "Spring":
        cue = _scarf(drawing, 12, -66)
    drawing.cue = [cue]
    drawing.anchors = {"left": (-27, 4), "right": (27, 4), "low": (0, 52)}


def _backpack_pocket(design: Design, drawing: Drawing) -> None:
    kind = design.details["pocket"]
    if kind == "two side":
        for side in (-1, 1):
            drawing.part(
                f"M {side * 48} 26 Q {side * 58} 30 {side * 57} 50 L {side * 54} 74 L {side * 44} 74 Z", "collar", 0, 0.5
            )
    drawing.part("M -34 26 Q 0 22 34 26 L 36 66 Q 36 71 30 71 L -30 71 Q -36 71 -36 66 Z", "collar", 0, 0.5)
    drawing.stitch("M -33 29 L -34 65 Q -34 69 -30 69 L 30 69 Q 34 69 34 65 L 33 29")
    if kind == "flap":
        drawing.part("M -36 24 Q 0 20 36 24 L 35 38 Q 0 46 -35 38 Z", "cloth", 0, 0.3)
        drawing.part(circle(0, 37.5, 2.6), "metal", bulge=0.6)
    else:
        cut.zip_line(drawing, "M -32 29 Q 0 25.5 32 29", (26, 28))


_FLAPS = {  # shape -> flap, its stitching
    "trapeze": (
        "M -43 -23 Q 0 -28 43 -23 C 46 -8 49 2 50 12 Q 0 30 -50 12 C -49 2 -46 -8 -43 -23 Z",
        "M -47 10 Q 0 27 47 10",
    ),
    "saddle": (
        "M -51 -23 Q 0 -28 51 -23 C 58 -8 58 8 50 16 C 34 34 -34 34 -50 16 C -58 8 -58 -8 -51 -23 Z",
        "M -48 14 C -33 31 33 31 48 14",
    ),
}


def handbag(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    shape = design.details["shape"]
    if design.details["strap"] == "chain":
        handle = _handle(drawing, 42, -14, -78, 4.6, "metal")
        drawing.line("M -39.7 -14 C -39.7 -96 39.7 -96 39.7 -14", "edge", 2.2, "1.6 3.2")
        if design.season == "Summer":
            handle = _handle(drawing, 20, -22, -58, 6, "jute")
    else:
        handle = _handle(drawing, 25, -18, -66, 7, "jute" if design.season == "Summer" else "cloth")
    bodies = {
        "trapeze": (
            "M -42 -22 Q 0 -26 42 -22 C 48 0 56 30 58 48 C 58 56 54 58 46 59 Q 0 63 -46 59 "
            "C -54 58 -58 56 -58 48 C -56 30 -48 0 -42 -22 Z"
        ),
        "saddle": "M -50 -22 Q 0 -27 50 -22 C 62 0 62 36 40 54 C 28 62 -28 62 -40 54 C -62 36 -62 0 -50 -22 Z",
        "frame": (
            "M -44 -18 Q 0 -22 44 -18 C 60 -6 66 24 60 42 C 54 60 36 60 0 60 C -36 60 -54 60 -60 42 C -66 24 -60 -6 -44 -18 Z"
        ),
    }
    drawing.body = [drawing.part(bodies[shape], "cloth", 0, 0.7)]
    drawing.fold("M -50 10 Q -36 20 -38 44", -0.3, 5, both=True)
    if shape == "frame":
        drawing.part("M -46 -24 Q 0 -29 46 -24 L 48 -15 Q 0 -20 -48 -15 Z", "metal", 90, 0.6)
        for k in range(-4, 5):
            drawing.fold(f"M {k * 9} -14 Q {k * 10} 0 {k * 11} 22", -0.35, 2.4)
    else:
        flap, seam = _FLAPS[shape]
        drawing.part(flap, "cloth", 0, 0.4)
        drawing.stitch(seam)
    _handbag_lock(design, drawing, -19 if shape == "frame" else 22)
    cue = handle
    if design.season == "Winter":
        cue = _fur_band(drawing, 44, 46, -22, 13) if shape != "frame" else _fur_band(drawing, 48, 56, -12, 14)
    elif design.season == "Autumn":
        cue = _rain_flap(drawing, 46, -24, 26)
    elif design.season == "Spring":
        cue = _scarf(drawing, -23 if design.details["strap"] != "chain" else -36, -24)
    drawing.cue = [cue]
    drawing.anchors = {
        "left": (-27, 6 if shape != "frame" else 14),
        "right": (27, 6 if shape != "frame" else 14),
        "low": (26, 42),
    }


def _handbag_lock(design: Design, drawing: Drawing, y: float) -> None:
    kind = design.details["closure"]
    if kind == "turn-lock":
        drawing.part(box(-6, y - 4, 6, y + 4), "metal", bulge=0.5)
        drawing.part(box(-1.3, y - 5.4, 1.3, y + 5.4), "edge", bulge=0.2)
    elif kind == "buckle":
        drawing.part(box(-4, y - 16, 4, y + 8, 3), "hide", bulge=0.4)
        drawing.part(box(-6.4, y - 5, 6.4, y + 4), "metal", bulge=0.3)
        drawing.part(box(-3.6, y - 2.6, 3.6, y + 1.6), "hide", bulge=0.1)
    else:
        for x in (-3, 3):
            drawing.part(circle(x, y - 2, 3.4), "metal", bulge=1.0)
