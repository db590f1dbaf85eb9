"""Vector building blocks of a drawing: parts of cloth, lines, folds, and the paths they follow.

A path is SVG path data with absolute ``M L C Q Z`` commands only, so that it can be mirrored, warped and measured.
Coordinates are *studio units*: the picture is 200 x 200 units, the origin in its middle, y downwards.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

_TOKEN = re.compile(r"[MLCQZ|]|-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")
_COMMANDS = frozenset("MLCQZ|")
_STEPS = np.linspace(0.0, 1.0, 9)[1:, None]

Point = tuple[float, float]
Bezier = tuple[Point, Point, Point, Point]


@dataclass(frozen=True)
class Part:
    """A filled piece: ``fill`` names a material role of the product (see ``palette.py``)."""

    path: str
    fill: str = "cloth"
    turn: float = 0.0  # degrees by which the grain of the cloth is turned
    bulge: float = 0.7  # how round the piece is across its grain; 0 is flat


@dataclass(frozen=True)
class Line:
    """A stroke on the surface: seam, stitching, zip, lace."""

    path: str
    tone: str = "seam"  # role of its colour
    width: float = 0.8
    dash: str = ""
    opacity: float = 1.0


@dataclass(frozen=True)
class Fold:
    """A soft crease (``depth`` < 0) or ridge (> 0) that only changes the light."""

    path: str
    depth: float = -0.4
    width: float = 3.0


@dataclass
class Drawing:
    """What a silhouette function fills: items from back to front, logo places and the region of each cue."""

    items: list[Part | Line | Fold] = field(default_factory=list)
    anchors: dict[str, Point] = field(default_factory=dict)  # place of a logo -> its middle
    body: list[str] = field(default_factory=list)  # paths of the main cloth
    cue: list[str] = field(default_factory=list)  # paths that show the season

    def part(self, path: str, fill: str = "cloth", turn: float = 0.0, bulge: float = 0.7) -> str:
        self.items.append(Part(path, fill, turn, bulge))
        return path

    def pair(self, path: str, fill: str = "cloth", turn: float = 0.0, bulge: float = 0.7) -> str:
        """The piece on the right and its mirror image on the left."""
        self.part(mirror(path), fill, -turn, bulge)
        return self.part(path, fill, turn, bulge)

    def line(self, path: str, tone: str = "seam", width: float = 0.8, dash: str = "", opacity: float = 1.0) -> None:
        self.items.append(Line(path, tone, width, dash, opacity))

    def seam(self, path: str, both: bool = False) -> None:
        self.fold(path, -0.3, 2.0, both)
        self.line(path, "seam", 0.7, "", 0.75)
        if both:
            self.line(mirror(path), "seam", 0.7, "", 0.75)

    def stitch(self, path: str, both: bool = False) -> None:
        for each in (path, mirror(path)) if both else (path,):
            self.line(each, "stitch", 0.7, "1.8 1.2", 0.9)

    def fold(self, path: str, depth: float = -0.4, width: float = 3.0, both: bool = False) -> None:
        self.items.append(Fold(path, depth, width))
        if both:
            self.items.append(Fold(mirror(path), depth, width))

    def warp(self, move: Callable[[np.ndarray], np.ndarray]) -> None:
        """Moves every control point by ``move`` (N, 2) -> (N, 2): the cut and the hang of this very product."""
        paths = [item.path for item in self.items] + self.body + self.cue
        moved = iter(warped(" | ".join(paths), move).split(" | "))  # one call for all paths is much faster
        self.items = [replace(item, path=next(moved)) for item in self.items]
        self.body = [next(moved) for _ in self.body]
        self.cue = [next(moved) for _ in self.cue]
        self.anchors = {place: tuple(move(np.array([point]))[0]) for place, point in self.anchors.items()}


def warped(path: str, move: Callable[[np.ndarray], np.ndarray]) -> str:
    """The same commands with every control point moved."""
    tokens = _TOKEN.findall(path)
    numbers = [i for i, token in enumerate(tokens) if token not in _COMMANDS]
    moved = move(np.array([float(tokens[i]) for i in numbers]).reshape(-1, 2)).ravel().tolist()
    for i, value in zip(numbers, moved, strict=True):
        tokens[i] = f"{value:.2f}"
    return " ".join(tokens)


def mirror(path: str) -> str:
    """The path reflected at the vertical axis."""
    tokens, is_x = _TOKEN.findall(path), True
    for i, token in enumerate(tokens):
        if token not in _COMMANDS:
            if is_x:
                tokens[i] = token[1:] if token[0] == "-" else "-" + token
            is_x = not is_x
    return " ".join(tokens)


def control_points(path: str) -> np.ndarray:
    """All points that the commands name, (N, 2); the path lies within their hull."""
    return np.array([float(token) for token in _TOKEN.findall(path) if token not in _COMMANDS]).reshape(-1, 2)


def outline(path: str) -> np.ndarray:
    """Points along the path, (N, 2): what boxes and extents are measured on."""
    tokens = iter(_TOKEN.findall(path))
    points, here = [], np.zeros(2)

    def take(count: int) -> list[np.ndarray]:
        return [np.array([float(next(tokens)), float(next(tokens))]) for _ in range(count)]

    for token in tokens:
        if token in "ML":
            points.append(take(1)[0][None])
        elif token == "Q":
            a, b = take(2)
            points.append((1 - _STEPS) ** 2 * here + 2 * _STEPS * (1 - _STEPS) * a + _STEPS**2 * b)
        elif token == "C":
            a, b, c = take(3)
            s = 1 - _STEPS
            points.append(s**3 * here + 3 * s * s * _STEPS * a + 3 * s * _STEPS**2 * b + _STEPS**3 * c)
        here = points[-1][-1]
    return np.concatenate(points)


def cut(curve: Bezier, start: float, stop: float) -> Bezier:
    """The piece of a cubic curve between two parameters (de Casteljau)."""
    points = np.array(curve, dtype=float)

    def blossom(a: float, b: float, c: float) -> Point:
        level = points
        for t in (a, b, c):
            level = (1 - t) * level[:-1] + t * level[1:]
        return float(level[0][0]), float(level[0][1])

    return (
        blossom(start, start, start),
        blossom(start, start, stop),
        blossom(start, stop, stop),
        blossom(stop, stop, stop),
    )


def ribbon(outer: Bezier, inner: Bezier, start: float, stop: float) -> str:
    """The area between two curves from ``start`` to ``stop`` of the outer one, cut off square to it."""
    a = cut(outer, start, stop)
    b = cut(inner, opposite(outer, inner, start), opposite(outer, inner, stop))
    return f"M {_at(a[0])} C {_at(a[1])} {_at(a[2])} {_at(a[3])} L {_at(b[3])} C {_at(b[2])} {_at(b[1])} {_at(b[0])} Z"


def opposite(outer: Bezier, inner: Bezier, t: float) -> float:
    """The parameter of ``inner`` that lies square across from ``t`` of ``outer``; 0 and 1 belong together."""
    if t in (0, 1):
        return t
    a, b = np.array(cut(outer, t, min(1.0, t + 0.02)))[[0, 3]]
    s = np.linspace(0, 1, 65)[:, None]
    p = np.array(inner, dtype=float)
    points = (1 - s) ** 3 * p[0] + 3 * (1 - s) ** 2 * s * p[1] + 3 * (1 - s) * s * s * p[2] + s**3 * p[3]
    return float(s[np.abs((points - a) @ (b - a)).argmin(), 0])


def circle(x: float, y: float, radius: float, squash: float = 1.0) -> str:
    """A circle (or upright ellipse) as four cubic curves."""
    r, k, h, j = radius, radius * 0.5523, radius * squash, radius * squash * 0.5523
    return (
        f"M {x - r:.2f} {y:.2f} C {x - r:.2f} {y - j:.2f} {x - k:.2f} {y - h:.2f} {x:.2f} {y - h:.2f} "
        f"C {x + k:.2f} {y - h:.2f} {x + r:.2f} {y - j:.2f} {x + r:.2f} {y:.2f} "
        f"C {x + r:.2f} {y + j:.2f} {x + k:.2f} {y + h:.2f} {x:.2f} {y + h:.2f} "
        f"C {x - k:.2f} {y + h:.2f} {x - r:.2f} {y + j:.2f} {x - r:.2f} {y:.2f} Z"
    )


def box(x0: float, y0: float, x1: float, y1: float, drop: float = 0.0) -> str:
    """A rectangle whose lower edge sags by ``drop`` (a pocket, a band)."""
    return f"M {x0} {y0} L {x1} {y0} L {x1} {y1} Q {(x0 + x1) / 2} {y1 + drop} {x0} {y1} Z"


def _at(point: Point) -> str:
    return f"{point[0]:.2f} {point[1]:.2f}"
