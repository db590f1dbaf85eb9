"""Pieces that garments share: torso, sleeves, collars, plackets, pockets, folds of hanging cloth."""

import numpy as np

from e2.data.boutique.shapes import Bezier, Drawing, box, circle, cut, mirror, opposite, ribbon

SHOULDER = -60.0  # height of the shoulder tips
NECK = -69.0  # height of the neck points
FITS = {"slim": 0.9, "regular": 1.0, "boxy": 1.1}
SLEEVE_STOPS = {"Summer": 0.45, "Spring": 0.7, "Autumn": 1.0, "Winter": 1.0}
_SLEEVE_TURN = -14.0  # the grain follows the hanging arm


def torso(hem: float, half: float, neck: float = 13.0, dip: float = 10.0, waist: float = 0.0, sag: float = 4.0) -> str:
    """Front of a top: neckline dipping by ``dip``, sides drawn in by ``waist``, hem at height ``hem``."""
    low = NECK + dip * 1.33
    return (
        f"M {-neck} {NECK} C -24 -66 -31 -64 -37 {SHOULDER} C -36 -47 -35 -37 -35 -26 "
        f"C {-35 + waist} -4 {-half + waist * 0.6} 30 {-half} {hem} Q 0 {hem + sag} {half} {hem} "
        f"C {half - waist * 0.6} 30 {35 - waist} -4 35 -26 C 35 -37 36 -47 37 {SHOULDER} "
        f"C 31 -64 24 -66 {neck} {NECK} C {neck * 0.75} {low} {-neck * 0.75} {low} {-neck} {NECK} Z"
    )


def v_torso(hem: float, half: float, neck: float = 13.0, dip: float = 26.0, waist: float = 0.0, sag: float = 4.0) -> str:
    """The same with a V neckline."""
    round_neck = torso(hem, half, neck, 0, waist, sag)
    head, _ = round_neck.rsplit(" C ", 1)
    return f"{head} Q {neck * 0.75} {NECK + dip * 0.5} 0 {NECK + dip} Q {-neck * 0.75} {NECK + dip * 0.5} {-neck} {NECK} Z"


def back_neck(drawing: Drawing, neck: float = 13.0, depth: float = 24.0, fill: str = "inside") -> None:
    """The inside of the back, seen through the neckline."""
    y = NECK
    drawing.part(
        f"M {-neck} {y} Q 0 {y - 6} {neck} {y} L {neck * 0.8} {y + depth} L {-neck * 0.8} {y + depth} Z", fill, bulge=0
    )
    drawing.line(f"M {-neck + 1} {y + 1} Q 0 {y - 2} {neck - 1} {y + 1}", "seam", 0.8)


def sleeve_curves(wide: float = 0.0) -> tuple[Bezier, Bezier]:
    """Outer and inner edge of the right sleeve, from shoulder to wrist."""
    outer = ((34, SHOULDER - 1), (51 + wide, -56), (56 + wide, -14), (67 + wide, 52))
    inner = ((34, -24), (41, -12), (46 - wide * 0.3, 18), (54 - wide * 0.3, 55))
    return outer, inner


def sleeves(drawing: Drawing, season: str, cuff: str = "hem", wide: float = 0.0, stop: float | None = None) -> str:
    """Both sleeves, as long as the season asks; returns the right one's path.

    ``cuff`` is ``hem``, ``rib`` or ``shirt``; in spring the sleeve is turned back and shows its lining.
    """
    outer, inner = sleeve_curves(wide)
    stop = stop or SLEEVE_STOPS[season]
    whole = drawing.pair(ribbon(outer, inner, 0, stop), "cloth", _SLEEVE_TURN, 0.8)
    if season == "Spring":
        band, fill = ribbon(_out(outer, 1.2), _out(inner, -1.2), stop - 0.13, min(1, stop + 0.01)), "lining"
    elif cuff == "rib":
        band, fill = ribbon(_out(outer, -0.8), _out(inner, 0.8), stop - 0.1, min(1, stop + 0.02)), "rib"
    elif cuff == "shirt" and season != "Summer":
        band, fill = ribbon(_out(outer, 0.5), _out(inner, -0.5), stop - 0.11, stop), "collar"
    else:
        t = stop - 0.035
        drawing.stitch(_straight(cut(outer, t, 1)[0], cut(inner, opposite(outer, inner, t), 1)[0]), both=True)
        band = fill = ""
    if band:
        drawing.pair(band, fill, _SLEEVE_TURN, 0.8)
    if stop > 0.6:
        _elbow_folds(drawing, outer, inner)
    return whole


def armholes(drawing: Drawing) -> None:
    """The seams where the sleeves are set in."""
    drawing.seam(f"M 37 {SHOULDER} C 35.5 -47 34.6 -37 34.8 -26", both=True)


def drape(drawing: Drawing, rng: np.random.Generator, hem: float, half: float) -> None:
    """Folds that run from the armpits and rise from the hem."""
    for side in (-1, 1):
        x = side * (33 + rng.uniform(-1, 1))
        dive = rng.uniform(8, 22)
        drawing.fold(
            f"M {x:.1f} -25 Q {x - side * 8:.1f} {-22 + dive * 0.3:.1f} {x - side * 15:.1f} {-24 + dive:.1f}", -0.35, 2.6
        )
        drawing.fold(
            f"M {x - side:.1f} -20 Q {x - side * 7:.1f} {-10 + dive * 0.3:.1f} {x - side * 10:.1f} {-10 + dive:.1f}", 0.25, 2.6
        )
    hanging_folds(drawing, rng, -half * 0.85, half * 0.85, hem, 34, 4)


def hanging_folds(
    drawing: Drawing, rng: np.random.Generator, x0: float, x1: float, hem: float, height: float, count: int
) -> None:
    """Valleys and ridges that rise from a hem."""
    for index in range(count):
        x = x0 + (x1 - x0) * (index + rng.uniform(0.2, 0.8)) / count
        top = hem - height * rng.uniform(0.5, 1.1)
        lean = rng.uniform(-3, 3)
        path = f"M {x:.1f} {hem} Q {x + lean:.1f} {(hem + top) / 2:.1f} {x * 0.92 + lean:.1f} {top:.1f}"
        drawing.fold(path, -rng.uniform(0.18, 0.4), rng.uniform(2, 4))
        drawing.fold(path.replace(f"M {x:.1f}", f"M {x + 4:.1f}"), rng.uniform(0.12, 0.25), 3)


def hem_stitch(drawing: Drawing, hem: float, half: float, sag: float = 4.0) -> None:
    drawing.stitch(f"M {-half + 0.5} {hem - 3.5} Q 0 {hem + sag - 3.5} {half - 0.5} {hem - 3.5}")


def rib_hem(drawing: Drawing, hem: float, half: float, height: float = 9.0) -> None:
    """A ribbed band at the lower edge."""
    drawing.part(
        f"M {-half + 1} {hem - height} Q 0 {hem - height + 4} {half - 1} {hem - height} "
        f"C {half - 1} {hem - 4} {half - 3} {hem - 2} {half - 3} {hem + 1} Q 0 {hem + 5} {-half + 3} {hem + 1} "
        f"C {-half + 3} {hem - 2} {-half + 1} {hem - 4} {-half + 1} {hem - height} Z",
        "rib",
    )


def crew_band(drawing: Drawing, neck: float, dip: float, width: float = 4.0, fill: str = "rib") -> str:
    """The band around a round neckline."""
    low, lower = NECK + dip * 1.33, NECK + (dip + width) * 1.33
    path = (
        f"M {-neck} {NECK} C {-neck * 0.75} {low} {neck * 0.75} {low} {neck} {NECK} L {neck + width} {NECK + 1.2} "
        f"C {neck * 0.95} {lower} {-neck * 0.95} {lower} {-neck - width} {NECK + 1.2} Z"
    )
    return drawing.part(path, fill, bulge=0.3)


def v_band(drawing: Drawing, neck: float, dip: float, width: float = 4.0, fill: str = "rib") -> str:
    """The band around a V neckline."""
    m = NECK + dip * 0.5
    right = (
        f"M {neck} {NECK} Q {neck * 0.75} {m} 0 {NECK + dip} L 0 {NECK + dip + width * 1.5} "
        f"Q {neck * 0.75 + width} {m + 3} {neck + width} {NECK + 1.2} Z"
    )
    return drawing.pair(right, fill, 20, 0.2)


def turtleneck(drawing: Drawing, neck: float = 13.0, fill: str = "rib") -> str:
    """A high collar folded over."""
    drawing.part(
        f"M {-neck} -66 C {-neck} -76 {-neck + 1} -82 {-neck + 1} -85 Q 0 -90 {neck - 1} -85 "
        f"C {neck - 1} -82 {neck} -76 {neck} -66 Z",
        "inside",
        bulge=0.2,
    )
    path = (
        f"M {-neck + 0.5} -84 Q 0 -79 {neck - 0.5} -84 C {neck + 1.5} -76 {neck + 2} -70 {neck + 2.5} -65 "
        f"Q 0 -56 {-neck - 2.5} -65 C {-neck - 2} -70 {-neck - 1.5} -76 {-neck + 0.5} -84 Z"
    )
    drawing.part(path, fill, bulge=0.9)
    drawing.fold(f"M {-neck - 1} -70 Q 0 -62 {neck + 1} -70", -0.3, 2)
    return path


def shirt_collar(drawing: Drawing, fill: str = "collar", spread: float = 1.0) -> str:
    """Two collar leaves that meet at the throat."""
    leaf = (
        f"M 0.5 -60 C 3 -66 9 -73 12 -76 C 16 -74 18 -71 {18 + spread} -67 "
        f"C {17 + spread} -61 {15 + spread} -56 {13 + spread * 2} -50 C 9 -54 4 -57 0.5 -60 Z"
    )
    drawing.part("M -12 -76 Q 0 -80 12 -76 C 9 -72 4 -65 0 -60 C -4 -65 -9 -72 -12 -76 Z", "inside", bulge=0)
    path = drawing.pair(leaf, fill, 28, 0.35)
    if fill != "shearling":
        drawing.stitch(
            f"M 2 -60.5 C 5 -58 9 -55.5 {12 + spread * 2} -52 C {14 + spread} -57 {15.5 + spread} -62 {16 + spread} -66",
            both=True,
        )
    return path


def fur_collar(drawing: Drawing, low: float = -44.0) -> str:
    """A broad shearling collar lying on the shoulders."""
    drawing.part("M -12 -74 Q 0 -79 12 -74 L 9 -60 L -9 -60 Z", "inside", bulge=0)
    path = (
        f"M 1 {low} C 2 -52 7 -64 11 -75 C 18 -77 24 -73 27 -66 C 29 -60 26 -54 22 -49 C 18 -43 12 -38 6 {low + 5} "
        f"C 3 {low + 6} 1 {low + 4} 1 {low} Z"
    )
    return drawing.pair(path, "shearling", 20, 0.9)


def buttons(
    drawing: Drawing, x: float, top: float, bottom: float, count: int, radius: float = 1.9, fill: str = "button"
) -> None:
    """A row of buttons with their thread."""
    for y in np.linspace(top, bottom, count):
        drawing.fold(circle(x + 0.5, float(y) + 0.9, radius), -0.5, 1.2)
        drawing.part(circle(x, float(y), radius), fill, bulge=0.5)
        drawing.line(f"M {x - 0.6} {y:.2f} L {x + 0.6} {y:.2f}", "edge", 0.6)


def zip_line(drawing: Drawing, path: str, pull: tuple[float, float]) -> None:
    """Tape, teeth and puller."""
    drawing.line(path, "edge", 2.6)
    drawing.line(path, "metal", 1.7, "1 .7")
    x, y = pull
    drawing.part(box(x - 1.3, y, x + 1.3, y + 6, 1.5), "metal", bulge=0.3)


def pocket(drawing: Drawing, x0: float, y0: float, x1: float, y1: float, flap: float = 0.0, fill: str = "cloth") -> None:
    """A patch pocket, with a buttoned flap if ``flap`` gives its depth."""
    drawing.part(box(x0, y0, x1, y1, 3), fill, bulge=0.15)
    drawing.stitch(
        f"M {x0 + 1.2} {y0} L {x0 + 1.2} {y1 - 1.2} Q {(x0 + x1) / 2} {y1 + 1.8} {x1 - 1.2} {y1 - 1.2} L {x1 - 1.2} {y0}"
    )
    if flap:
        drawing.part(
            f"M {x0 - 0.8} {y0 - 1} L {x1 + 0.8} {y0 - 1} L {x1 + 0.8} {y0 + flap * 0.6} "
            f"L {(x0 + x1) / 2} {y0 + flap} L {x0 - 0.8} {y0 + flap * 0.6} Z",
            fill,
            bulge=0.1,
        )
        drawing.part(circle((x0 + x1) / 2, y0 + flap * 0.62, 1.4), "button", bulge=0.5)
    else:
        drawing.stitch(f"M {x0 + 1} {y0 + 2.4} L {x1 - 1} {y0 + 2.4}")


def _elbow_folds(drawing: Drawing, outer: Bezier, inner: Bezier) -> None:
    for t, depth in ((0.46, -0.4), (0.53, 0.3), (0.6, -0.3)):
        a, b = np.array(cut(outer, t, 1)[0]), np.array(cut(inner, opposite(outer, inner, t), 1)[0])
        mid = b + (a - b) * 0.62
        drawing.fold(f"M {b[0]:.1f} {b[1]:.1f} Q {mid[0]:.1f} {b[1] + 1:.1f} {mid[0]:.1f} {mid[1]:.1f}", depth, 2.4, both=True)


def _out(curve: Bezier, by: float) -> Bezier:
    return tuple((x + by, y) for x, y in curve)


def _straight(a: tuple[float, float], b: tuple[float, float]) -> str:
    return f"M {a[0]:.1f} {a[1]:.1f} L {b[0]:.1f} {b[1]:.1f}"


def on_both_sides(path: str) -> list[str]:
    """The path and its mirror image, for boxes that span both."""
    return [path, mirror(path)]
