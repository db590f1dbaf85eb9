"""Silhouettes of sneakers, boots, heels and loafers: one shoe from the side, toe to the left, ground at y = 46."""

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing, Part, circle

_GROUND = 46.0


def _sole(drawing: Drawing, season: str, toe: float = -80, back: float = 68, top: float = 31, plain: str = "sole") -> str:
    """Jute in summer, lugs in autumn, else plain; returns its path."""
    thick = {"Summer": 16, "Autumn": 17}.get(season, 12)
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
            drawing.part(f"M {x:.1f} {low - 5} L {x + 5:.1f} {low - 5} L {x + 6:.1f} {low + 2.5} L {x - 1:.1f} {low + 2.5} Z", "ink", bulge=0.2)
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


def _season_cue(design: Design, drawing: Drawing, sole: str, collar: str, holes: tuple[float, float, float]) -> None:
    if design.season == "Spring":
        drawing.cue = [_perforations(drawing, *holes)]
    elif design.season == "Winter":
        drawing.cue = [drawing.part(collar, "shearling", 0, 0.9)]
    else:
        drawing.cue = [sole]


def sneaker(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    high = design.details["height"] == "high"
    top = -54 if high else -20
    drawing.part(f"M 30 {top + 10} C 28 {top - 8} 22 {top - 17} 10 {top - 13} C 3 {top - 9} 0 {top + 2} -2 {top + 10} Z", "lining" if design.season != "Winter" else "shearling", 10, 0.6)
    drawing.part(f"M 26 {top + 12} L 62 {top + 6} L 58 {top - 2} Q 42 {top + 2} 26 {top} Z", "inside", bulge=0)
    ankle = (
        "C 68 8 66 -24 63 -56 C 58 -61 53 -60 49 -57 C 40 -50 32 -52 24 -58 C 16 -62 10 -58 9 -50 C 7 -36 4 -26 -6 -15"
        if high
        else "C 69 16 67 -2 62 -21 C 58 -25 54 -24 51 -19 C 44 -9 34 -9 27 -17 C 24 -28 18 -33 12 -31 C 7 -30 2 -21 -6 -15"
    )
    body = f"M 64 34 {ankle} C -16 -6 -26 0 -38 5 C -58 10 -77 15 -78 34 Z"
    drawing.body = [drawing.part(body, "cloth", 4, 0.75)]
    drawing.seam("M 40 33 C 36 16 42 4 60 0")
    drawing.stitch("M 42.5 32 C 39 17 44 6.5 61 2.5")
    drawing.seam("M -6 -14 C 0 -4 6 10 0 32")
    drawing.fold("M -8 -6 Q -4 8 -14 22", -0.3, 3)
    drawing.fold("M -20 4 Q -16 12 -22 24", -0.3, 3)
    if design.details["toe"] == "cap":
        drawing.part("M -78 33 C -77 18 -66 13 -52 9.5 C -46 16 -45 26 -47 33 Z", "snow", bulge=0.8)
        drawing.seam("M -52 9.5 C -46 16 -45 26 -47 33")
    sole = _sole(drawing, design.season, plain="sole")
    _sneaker_closure(design, drawing, high)
    collar = (
        "M 66 -46 C 68 -56 66 -64 60 -66 C 52 -64 40 -58 24 -66 C 16 -66 14 -58 18 -52 C 34 -44 50 -50 58 -44 Z"
        if high
        else "M 67 -10 C 69 -22 66 -32 58 -32 C 50 -32 44 -17 30 -24 C 24 -26 20 -18 25 -11 C 36 0 50 -2 56 -12 Z"
    )
    _season_cue(design, drawing, sole, collar, (-44, 12, 0.3) if design.details["toe"] == "plain" else (-40, 14, 0.3))
    drawing.anchors = {"left": (20, 13), "right": (52, 14), "low": (-32, 17)}
    if high:
        drawing.anchors |= {"right": (45, -28)}
    if design.season == "Spring":
        drawing.anchors |= {"low": (4, 18), "left": (26, 8)}


def _sneaker_closure(design: Design, drawing: Drawing, high: bool) -> None:
    rows = 7 if high else 4
    start = np.array((12.0, -50.0 if high else -24.0))
    end = np.array((-26.0, 1.0))
    bend = np.array((5.0, -16.0)) if high else (start + end) / 2 + (-1, 2)
    for t in np.linspace(0, 1, rows):
        x, y = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t * t * end
        if design.details["closure"] == "laces":
            drawing.part(f"M {x - 5:.1f} {y - 2.5:.1f} L {x + 9:.1f} {y + 5:.1f} L {x + 7.6:.1f} {y + 8:.1f} L {x - 6.4:.1f} {y + 0.5:.1f} Z", "snow", bulge=0.5)
            drawing.part(circle(x + 9, y + 7, 1.6), "metal", bulge=0.3)
    if design.details["closure"] == "straps":
        for x, y in ((0, -18), (-14, -7), *(((8, -36),) if high else ())):
            drawing.part(f"M {x - 4} {y - 3} C {x + 6} {y + 2} {x + 12} {y + 8} {x + 22} {y + 14} L {x + 17} {y + 22} C {x + 8} {y + 17} {x} {y + 11} {x - 9} {y + 5} Z", "cloth", 30, 0.4)
            drawing.stitch(f"M {x + 15} {y + 12} L {x + 11} {y + 18}")
    elif design.details["closure"] == "slip-on":
        drawing.part("M 8 -26 C 14 -10 12 -2 2 6 C -4 2 -8 -4 -10 -10 C -2 -16 4 -24 8 -26 Z", "rib", 30, 0.3)


_SHAFTS = {"ankle": -36.0, "mid-calf": -66.0, "knee-high": -104.0}


def boot(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    top = _SHAFTS[design.details["height"]] + rng.uniform(-3, 3)
    flare = 4 if design.details["height"] == "knee-high" else 1
    drawing.part(f"M 14 {top + 4} Q 38 {top - 6} {62 + flare} {top + 2} L 60 {top + 12} L 16 {top + 12} Z", "inside", bulge=0)
    body = (
        f"M 63 34 C 67 22 61 8 59 -6 C 59 -30 {61 + flare} {top + 20} {62 + flare} {top} Q 38 {top + 7} {14 - flare} {top + 3} "
        f"C 15 {top + 20} 18 -26 12 -14 C 6 -4 -22 -2 -48 8 C -66 14 -76 22 -76 34 Z"
    )
    drawing.body = [drawing.part(body, "cloth", 0, 0.85)]
    drawing.fold("M 12 -16 Q 30 -14 54 -24", -0.4, 4)
    drawing.fold("M 8 -9 Q 26 -2 56 -6", -0.35, 4)
    drawing.fold("M 10 -13 Q 30 -8 56 -15", 0.3, 4)
    drawing.seam("M -28 4 C -22 12 -18 22 -18 33")
    drawing.seam("M 40 33 C 40 18 44 6 59 2")
    _boot_closure(design, drawing, top)
    sole = _sole(drawing, design.season, -78, 67)
    collar = (
        f"M {12 - flare} {top - 5} Q 38 {top + 2} {64 + flare} {top - 6} "
        f"C {67 + flare} {top + 4} {66 + flare} {top + 12} {63 + flare} {top + 16} Q 38 {top + 22} {14 - flare} {top + 18} "
        f"C {10 - flare} {top + 12} {10 - flare} {top + 4} {12 - flare} {top - 5} Z"
    )
    _season_cue(design, drawing, sole, collar, (-54, 12, 0.0))
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


_LIFTS = {"stiletto": 56.0, "block": 48.0, "kitten": 27.0}


def heel(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    lift = _LIFTS[design.details["heel"]] + rng.uniform(-2, 2)

    def at(x: float, above: float) -> str:
        """A point ``above`` the arch that carries the foot."""
        t = min(1.0, max(0.0, (x + 34) / 84))
        return f"{x} {40 - lift * t * t * (3 - 2 * t) - above:.1f}"

    toe = -84 if design.details["toe"] == "pointed" else -76
    drawing.part(f"M {at(-24, 28)} Q {at(14, 18)} {at(58, 36)} L {at(56, 12)} L {at(-20, 8)} Z", "inside", bulge=0.2)
    _heel_post(design, drawing, lift)
    body = (
        f"M {toe} 40 C {toe + (12 if toe < -80 else 2)} {30 if toe < -80 else 20} -54 16 {at(-34, 30)} C {at(-26, 33)} {at(-22, 30)} {at(-18, 26)} "
        f"C {at(0, 14)} {at(26, 10)} {at(42, 20)} C {at(48, 34)} {at(56, 42)} {at(63, 40)} C {at(66, 28)} {at(66, 12)} {at(63, 0)} "
        f"C {at(40, -2)} {at(20, -1)} {at(2, 0)} C {at(-20, 0)} {at(-50, 0)} {toe} 40 Z"
    )
    drawing.body = [drawing.part(body, "cloth", -8, 0.9)]
    drawing.seam(f"M {at(34, 12)} Q {at(38, 4)} {at(42, 0)}")
    drawing.fold(f"M {toe + 14} 34 Q -46 26 {at(-26, 20)}", 0.45, 4)
    sole = f"M {toe} 39 C -50 {at(-30, -1).split()[1]} {at(-20, -1)} {at(2, 0)} C {at(20, -1)} {at(40, -2)} {at(63, 0)} L {at(62, -4)} C {at(40, -6)} {at(20, -5)} {at(2, -5)} C -30 46 -60 46 {toe + 4} 45 Z"
    if design.season in ("Summer", "Autumn"):
        extra = 9
        sole = f"M {toe} 38 C -50 40 -30 39 {at(2, 0)} C {at(20, -1)} {at(40, -2)} {at(63, 0)} L {at(62, -5)} C {at(40, -7)} {at(20, -9)} 4 {40 + extra} L {toe + 6} {40 + extra} C {toe - 2} {38 + extra} {toe - 3} 42 {toe} 38 Z"
        drawing.part(sole, "jute" if design.season == "Summer" else "ink", 90, 0.4)
    else:
        drawing.part(sole, "sole", 0, 0.3)
    if design.details["closure"] == "ankle strap":
        drawing.part(f"M {at(60, 38)} C {at(64, 50)} {at(62, 62)} {at(56, 66)} C {at(40, 64)} {at(28, 56)} {at(22, 50)} L {at(22, 45)} C {at(32, 52)} {at(46, 60)} {at(55, 60)} C {at(58, 56)} {at(58, 48)} {at(56, 38)} Z", "cloth", 70, 0.4)
        drawing.part(circle(34, 40 - lift - 57 + 4, 2.6), "metal", bulge=0.5)
    collar = f"M {at(40, 16)} C {at(46, 30)} {at(54, 46)} {at(66, 46)} C {at(69, 38)} {at(68, 30)} {at(64, 27)} C {at(58, 24)} {at(52, 16)} {at(46, 10)} C {at(20, 2)} {at(0, 6)} {at(-18, 18)} L {at(-16, 27)} C {at(0, 16)} {at(20, 8)} {at(40, 16)} Z"
    _season_cue(design, drawing, sole, collar, (-60, 22, -0.8))
    y = lambda x, above: float(at(x, above).split()[1])  # noqa: E731
    drawing.anchors = {"left": (-38, 22), "right": (55, y(55, 18)), "low": (8, y(8, 6))}
    if design.season == "Spring":
        drawing.anchors["left"] = (-22, y(-22, 20))


def _heel_post(design: Design, drawing: Drawing, lift: float) -> None:
    top = 40 - lift
    ground = _GROUND
    if design.details["heel"] == "block":
        path = f"M 34 {top + 4} L 64 {top - 2} C 64 {top + 16} 63 {ground - 10} 63 {ground} L 41 {ground} C 41 {ground - 14} 40 {top + 14} 34 {top + 4} Z"
    else:
        path = f"M 38 {top + 4} L 64 {top - 2} C 64 {top + 12} 60 {ground - 16} 60 {ground} L 54.5 {ground} C 55 {ground - 18} 53 {top + 14} 38 {top + 4} Z"
    drawing.part(path, "cloth" if design.fabric in ("patent", "satin", "leather") else "heel", 0, 0.9)


def loafer(design: Design, drawing: Drawing, rng: np.random.Generator) -> None:
    square = design.details["toe"] == "square"
    drawing.part("M 12 -14 Q 38 -20 62 -17 L 58 2 L 20 2 Z", "inside", bulge=0)
    drawing.part("M 10 -2 C 6 -18 2 -30 -10 -30 C -18 -28 -22 -18 -24 -10 Z", "cloth", 20, 0.6)
    toe = "C -64 4 -80 10 -80 33" if square else "C -62 8 -78 16 -78 33"
    body = f"M 64 34 C 68 16 66 -4 62 -18 C 52 -8 34 -4 22 -6 C 10 -12 -2 -18 -16 -16 C -26 -10 -36 -2 -46 3 {toe} L -78 34 Z"
    drawing.body = [drawing.part(body, "cloth", 4, 0.8)]
    drawing.seam("M -72 20 C -58 6 -34 4 -18 4 C -4 4 0 2 4 -8")
    drawing.stitch("M -70 22.5 C -56 9 -33 7 -17 7 C -3 7 3 4 7 -6")
    drawing.seam("M 36 33 C 34 14 42 2 56 -6")
    strap = "M -18 -17 C -6 -19 10 -12 22 -6 C 22 8 18 20 14 32 L -8 32 C -6 14 -10 -4 -18 -17 Z"
    drawing.part(strap, "collar", 6, 0.6)
    front = design.details["front"]
    if front == "penny strap":
        drawing.part("M -8 0 Q 2 -4 12 2 Q 10 6 11 9 Q 2 4 -7 7 Q -6 4 -8 0 Z", "hole", bulge=0)
    elif front == "horsebit":
        drawing.part("M -16 -10 L 16 -2 L 15.5 2 L -16 -6 Z", "metal", 80, 0.8)
        for x, y in ((-13, -8), (14, 0)):
            drawing.line(circle(x, y, 4.5), "metal", 1.9)
    else:
        for x, tilt in ((-12, -3), (-2, 2)):
            drawing.part(f"M {x} -8 L {x + 3} -8 L {x + 5 + tilt} 8 Q {x + 1 + tilt} 10 {x - 3 + tilt} 8 Z", "trim", 0, 0.6)
            drawing.line(f"M {x + tilt * 0.5 - 0.5} -1 L {x + tilt - 1} 8 M {x + tilt * 0.5 + 2} -1 L {x + tilt + 2} 8", "edge", 0.5)
    sole = _sole(drawing, design.season, plain="ink")
    drawing.part("M 34 42 L 67 42 L 67 52 L 38 52 Z", "ink", bulge=0.2)
    collar = "M 67 -6 C 69 -20 66 -28 58 -26 C 50 -18 36 -12 22 -15 C 12 -20 8 -12 14 -6 C 28 4 48 2 56 -6 C 60 -8 64 -8 67 -6 Z"
    _season_cue(design, drawing, sole, collar, (-56, 12, 0.0))
    drawing.anchors = {"left": (-30 if design.season == "Spring" else -42, 19), "right": (51, 14), "low": (23, 17)}
