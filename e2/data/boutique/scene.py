"""From a drawing to buffers: pose, patch of the brand, and three vector panels that resvg turns into pixels.

The panels are what a renderer calls a G-buffer: the colours, the number of the piece each pixel belongs to, and soft
creases. Cloth and light are then computed per pixel (``photo.py``), which looks better and is far faster than vector
patterns, gradients and filters.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from e2.data.boutique.attributes import Design
from e2.data.boutique.brands import BADGES, COLOURINGS, GLYPHS
from e2.data.boutique.palette import luminance, mix
from e2.data.boutique.raster import render
from e2.data.boutique.shapes import Drawing, Fold, Line, Part, control_points, outline
from e2.data.boutique.silhouettes import SHOES

Box = tuple[float, float, float, float]
_ROOM = (158.0, 172.0)  # the largest width and height of a product in the 200 x 200 studio
_PATCH = "patch"


@dataclass(frozen=True)
class Pose:
    """Affine map from the drawing to the studio: ``matrix`` (2, 2) then ``shift`` (2,)."""

    matrix: np.ndarray
    shift: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return points @ self.matrix.T + self.shift

    @property
    def zoom(self) -> float:
        return math.sqrt(abs(np.linalg.det(self.matrix)))

    @property
    def svg(self) -> str:
        (a, c), (b, d) = self.matrix
        return f"matrix({a:.5f} {b:.5f} {c:.5f} {d:.5f} {self.shift[0]:.3f} {self.shift[1]:.3f})"


@dataclass(frozen=True)
class Patch:
    """The brand's mark on the product."""

    x: float
    y: float
    size: float  # scale from the badge's own units to the drawing's
    path: str  # outline in the drawing's units


@dataclass(frozen=True)
class Buffers:
    """Pixels of one product; all of them ``size`` x ``size``."""

    colour: np.ndarray  # (H, W, 3) uint8
    alpha: np.ndarray  # (H, W) uint8
    piece: np.ndarray  # (H, W) uint8, 0 outside, else 1 + index into ``parts``
    crease: np.ndarray  # (H, W) uint8, 128 is neutral
    parts: list[Part]


def pose_for(design: Design, drawing: Drawing, rng: np.random.Generator) -> Pose:
    """A pose in which the whole product stays inside the picture."""
    angle = math.radians(rng.normal(0, 2.2))
    flip = -1.0 if design.sub_category in SHOES and rng.random() < 0.5 else 1.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) @ np.diag([flip, 1.0])
    points = np.concatenate([control_points(item.path) for item in drawing.items if isinstance(item, Part)]) @ turn.T
    low, high = points.min(axis=0), points.max(axis=0)
    fit = min(1.18, *(np.array(_ROOM) / (high - low)))
    zoom = fit * rng.uniform(0.86, 1.0)
    slack = np.maximum(2.0, 92 - zoom * (high - low) / 2)
    shift = rng.uniform(-0.6, 0.6, 2) * slack * (0.8, 0.5)
    return Pose(turn * zoom, shift - zoom * (low + high) / 2)


def patch_for(design: Design, drawing: Drawing, pose: Pose, rng: np.random.Generator) -> Patch:
    """The mark at its house's usual place; its box takes 1 to 4 % of the picture."""
    brand = design.brand
    half_width, half_height = brand.half_size
    area = rng.uniform(0.0125, 0.021) * 200 * 200
    size = math.sqrt(area / (4 * half_width * half_height)) / pose.zoom
    x, y = np.array(drawing.anchors[brand.place]) + rng.uniform(-1, 1, 2)
    path = _scaled(BADGES[brand.badge][0], x, y, size)
    return Patch(float(x), float(y), size, path)


def _scaled(path: str, x: float, y: float, size: float) -> str:
    tokens = path.split()
    count, moved = 0, []
    for token in tokens:
        if token.isalpha():
            moved.append(token)
        else:
            moved.append(f"{float(token) * size + (y if count % 2 else x):.2f}")
            count += 1
    return " ".join(moved)


def rasterise(drawing: Drawing, pose: Pose, patch: Patch, design: Design, tones: dict[str, str], size: int) -> Buffers:
    """Draws the three panels; ``tones`` is the colour of every role."""
    parts = [item for item in drawing.items if isinstance(item, Part)] + [Part(patch.path, _PATCH, 0.0, 0.0)]
    colour = render(_document(_colour_panel(drawing, patch, design, tones, pose), pose, size))
    piece = render(_document(_piece_panel(parts), pose, size, crisp=True))
    crease = render(_document(_crease_panel(drawing, patch), pose, size // 2, crisp=True))
    soft = (
        Image.fromarray(crease[..., 0]).filter(ImageFilter.GaussianBlur(size / 224 * 1.3)).resize((size, size), Image.BILINEAR)
    )
    return Buffers(colour[..., :3], colour[..., 3], piece[..., 0], np.asarray(soft), parts)


def _document(content: str, pose: Pose, size: int, crisp: bool = False) -> str:
    sharp = ' shape-rendering="crispEdges"' if crisp else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-100 -100 200 200" width="{size}" height="{size}">'
        f'<g transform="{pose.svg}" stroke-linecap="round" stroke-linejoin="round"{sharp}>{content}</g></svg>'
    )


def _colour_panel(drawing: Drawing, patch: Patch, design: Design, tones: dict[str, str], pose: Pose) -> str:
    marks = []
    for item in drawing.items:
        if isinstance(item, Part):
            marks.append(f'<path d="{item.path}" fill="{tones[item.fill]}"/>')
        elif isinstance(item, Line):
            dash = f' stroke-dasharray="{item.dash}" stroke-linecap="butt"' if item.dash else ""
            tone = tones[item.tone] if item.opacity == 1 else mix(tones["cloth"], tones[item.tone], item.opacity)
            marks.append(f'<path d="{item.path}" fill="none" stroke="{tone}" stroke-width="{item.width}"{dash}/>')
    ground, glyph = COLOURINGS[design.brand.colouring]
    rim = "#ffffff" if luminance(ground) < 0.45 else "#2a2320"
    flip = -1 if np.linalg.det(pose.matrix) < 0 else 1
    marks.append(
        f'<path d="{patch.path}" fill="{ground}"/>'
        f'<g transform="translate({patch.x:.2f} {patch.y:.2f}) scale({patch.size * flip:.4f} {patch.size:.4f})">'
        f'<path d="{BADGES[design.brand.badge][0]}" transform="scale(.94)" fill="none" stroke="{rim}" stroke-width=".11"/>'
        f'<path d="{GLYPHS[design.brand.glyph]}" transform="scale(.58)" fill="{glyph}"/></g>'
    )
    return "".join(marks)


def _piece_panel(parts: list[Part]) -> str:
    return "".join(
        f'<path d="{part.path}" fill="#{i:02x}0000" stroke="#{i:02x}0000" stroke-width=".8"/>'
        for i, part in enumerate(parts, start=1)
    )


def _crease_panel(drawing: Drawing, patch: Patch) -> str:
    """Creases in light and dark; each piece throws a soft shadow on what lies under it.

    Opaque greys and hard edges: the panel is small and blurred afterwards, and blending would triple its cost.
    """
    marks = ['<rect x="-300" y="-300" width="600" height="600" fill="#808080"/>']
    for item in drawing.items:
        if isinstance(item, Part):
            marks.append(f'<path d="{item.path}" fill="#808080" stroke="#3c3c3c" stroke-width="2.6"/>')
        elif isinstance(item, Fold):
            grey = f"{round(128 + 127 * item.depth):02x}" * 3
            marks.append(f'<path d="{item.path}" fill="none" stroke="#{grey}" stroke-width="{item.width:.1f}"/>')
    marks.append(f'<path d="{patch.path}" fill="#808080" stroke="#404040" stroke-width="2"/>')
    return "".join(marks)


def regions(drawing: Drawing, pose: Pose, patch: Patch, alpha: np.ndarray) -> dict[str, Box]:
    """The true box of each entity, x0, y0, x1, y1 in 0..1; ``alpha`` (H, W) is where the product shows."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    edges = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    whole = tuple(round(float(edge) / len(alpha), 4) for edge in edges)
    return {
        "brand": _box([patch.path], pose),
        "season": _box(drawing.cue, pose),
        "sub_category": whole,
        "composition": _box(drawing.body, pose),
        "colour": whole,
    }


def _box(paths: list[str], pose: Pose) -> Box:
    points = (pose(np.concatenate([outline(path) for path in paths])) + 100) / 200
    (x0, y0), (x1, y1) = np.clip(points.min(axis=0), 0, 1), np.clip(points.max(axis=0), 0, 1)
    return tuple(round(float(v), 4) for v in (x0, y0, x1, y1))
