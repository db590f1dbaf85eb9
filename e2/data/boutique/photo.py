"""The photograph: cloth, folds and light per pixel, a studio backdrop, a soft shadow, a little noise."""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from e2.data.boutique.attributes import Design
from e2.data.boutique.backdrop import backdrop
from e2.data.boutique.fabrics import MATERIAL_INDEX, MATERIALS, ROLE_TRIM
from e2.data.boutique.light import Light
from e2.data.boutique.palette import COLOURS, rgb
from e2.data.boutique.prints import PRINT_INDEX, print_atlas
from e2.data.boutique.raster import TEXELS, TILE
from e2.data.boutique.scene import Buffers, Pose
from e2.data.boutique.shapes import control_points
from e2.data.boutique.silhouettes import STANDING
from e2.data.boutique.weaves import weave_atlas

_MASK = TILE * TEXELS - 1
_NUDE = rgb("#e8c3a6")


def photograph(
    buffers: Buffers, pose: Pose, design: Design, cloth: str, light: Light, rng: np.random.Generator
) -> Image.Image:
    """The finished picture, RGB, as large as the buffers; ``cloth`` is the dyed colour of the main fabric.

    Colours are kept planar, (3, H, W), because numpy is several times slower over a last axis of three.
    """
    size = len(buffers.alpha)
    picture = backdrop(size, design, cloth, light, rng)
    picture *= _shadow(buffers.alpha, design, light, rng)
    product = _shaded(buffers, pose, design, cloth, light, rng)
    product -= picture
    product *= buffers.alpha.astype(np.float32) * np.float32(1 / 255)
    picture += product
    picture[0] *= np.float32(1 + light.warmth)
    picture[2] *= np.float32(1 - light.warmth)
    picture += _grain(size, rng)
    np.clip(picture, 0, 1, out=picture)
    picture *= 255
    return Image.fromarray(np.ascontiguousarray(picture.astype(np.uint8).transpose(1, 2, 0)))


@lru_cache(maxsize=4)
def _film(size: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((size + 97, size + 97), dtype=np.float32) * np.float32(0.009)


def _grain(size: int, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise, (H, W): a random window of one stored field, as drawing new noise takes long."""
    y, x = rng.integers(0, 97, 2)
    return _film(size)[y : y + size, x : x + size]


def _shaded(buffers: Buffers, pose: Pose, design: Design, cloth: str, light: Light, rng: np.random.Generator) -> np.ndarray:
    """The product in its light, (3, H, W); only the pixels of pieces are computed."""
    size = len(buffers.alpha)
    where = np.flatnonzero(buffers.piece)
    piece = buffers.piece.ravel()[where]
    x, y = _drawing_coordinates(where, size, pose)
    look = _piece_table(buffers, design, pose).T[:, piece]  # (columns, n)
    u = look[0] * x + look[1] * y
    v = look[0] * y - look[1] * x
    texel = _texels(v, rng) * (_MASK + 1) + _texels(u, rng)
    weave, ground = weave_atlas(size)
    material = look[2].astype(np.int32)

    picture = buffers.colour.reshape(-1, 3).T.astype(np.float32)  # (3, H * W)
    picture *= np.float32(1 / 255)
    albedo = picture[:, where]
    if design.print or MATERIALS[design.fabric].ground:
        albedo += _pattern(design, cloth, texel, material, look[3], ground, size)
    slope_x, slope_y = _slopes(buffers, look, u, where, design, rng)
    lx, ly, lz = (np.float32(v) for v in light.direction)
    norm = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    shade = np.maximum((lz - lx * slope_x - ly * slope_y) * norm, 0.0)
    shade *= np.float32((1.05 - light.ambient) / lz)
    shade += np.float32(light.ambient)
    shade *= 1.0 + weave.ravel()[material * (_MASK + 1) ** 2 + texel]
    shade *= 0.22 + np.float32(0.78 / 128.0) * buffers.crease.ravel()[where]
    albedo *= shade
    albedo += _gloss(look, slope_x, slope_y, norm, light)
    picture[:, where] = albedo
    return picture.reshape(3, size, size)


def _texels(along: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Index into a texture tile's side; every product starts somewhere else."""
    return ((along * TEXELS).astype(np.int32) + int(rng.integers(0, _MASK + 1))) & _MASK


def _drawing_coordinates(where: np.ndarray, size: int, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Where in the drawing the pixels lie, two arrays (n,)."""
    row, column = np.divmod(where.astype(np.int32), size)
    scale = 200.0 / size
    (a, b), (c, d) = np.linalg.inv(pose.matrix).astype(np.float32)
    sx = (column * np.float32(scale)) + np.float32(scale / 2 - 100 - pose.shift[0])
    sy = (row * np.float32(scale)) + np.float32(scale / 2 - 100 - pose.shift[1])
    return a * sx + b * sy, c * sx + d * sy


# Columns: cos, sin of the grain; material; printed; middle and half width across the grain; bulge towards x and y of
# the studio; gloss; exponent of the gloss.
def _piece_table(buffers: Buffers, design: Design, pose: Pose) -> np.ndarray:
    table = np.zeros((len(buffers.parts) + 1, 10), dtype=np.float32)
    straight = pose.matrix / pose.zoom
    for index, part in enumerate(buffers.parts, start=1):
        turn = math.radians(part.turn)
        grain = np.array([math.cos(turn), math.sin(turn)])
        across = control_points(part.path) @ grain
        low, high = across.min(), across.max()
        name = ROLE_TRIM.get(part.fill, design.fabric)
        fabric = MATERIALS[name]
        table[index] = (
            *grain, MATERIAL_INDEX[name], part.fill == "cloth" and bool(design.print),
            (low + high) / 2, max(0.5, (high - low) / 2), *(straight @ grain * part.bulge), fabric.gloss, fabric.sharpness,
        )  # fmt: skip
    return table


def _pattern(
    design: Design, cloth: str, texel: np.ndarray, material: np.ndarray, printed: np.ndarray, ground: np.ndarray, size: int
) -> np.ndarray:
    """What prints and what lies between the yarns add to the colour, (3, n)."""
    own = rgb(cloth)
    second, third = (rgb(COLOURS[name]) - own for name in (design.partner, design.third))
    change = np.zeros((3, len(texel)), dtype=np.float32)
    if design.print:
        shares = print_atlas(size)[PRINT_INDEX[design.print]][:, texel] * printed
        change += np.stack([second, third], axis=1).astype(np.float32) @ shares
    kind = MATERIALS[design.fabric].ground
    if kind:
        under = {"pale": 0.35 * (1 - own) + 0.02, "flecks": second * 0.7, "nude": _NUDE * 0.9 - own}[kind]
        shares = ground[material, texel] * (material == MATERIAL_INDEX[design.fabric])
        change += under.astype(np.float32)[:, None] * shares
    return change


def _slopes(
    buffers: Buffers, look: np.ndarray, u: np.ndarray, where: np.ndarray, design: Design, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How the surface rises towards x and y of the picture: roundness of the pieces, rounded rim, wrinkles."""
    size = len(buffers.alpha)
    fabric = MATERIALS[design.fabric]
    s = np.clip((u - look[4]) / look[5], -1, 1)
    round_x = -s * (0.45 + 0.55 * s * s)
    cells = max(4, round(200 / fabric.coarse))
    bumps = Image.fromarray(rng.standard_normal((cells, cells), dtype=np.float32)).resize((size, size), Image.BICUBIC)
    rim = Image.fromarray(buffers.alpha).filter(ImageFilter.BoxBlur(size / 224 * 4))
    height = np.asarray(bumps) * np.float32(fabric.wrinkle * 0.5 * size / cells * 0.22) + np.asarray(
        rim, dtype=np.float32
    ) * np.float32(0.016)
    along_y, along_x = np.zeros_like(height), np.zeros_like(height)
    along_x[:, 1:] = height[:, 1:] - height[:, :-1]
    along_y[1:] = height[1:] - height[:-1]
    return along_x.ravel()[where] + round_x * look[6], along_y.ravel()[where] + round_x * look[7]


def _gloss(look: np.ndarray, slope_x: np.ndarray, slope_y: np.ndarray, norm: np.ndarray, light: Light) -> np.ndarray:
    """Highlight by the half-way vector; pile fabrics have the opposite, bright edges (negative gloss)."""
    half = (light.direction + (0, 0, 1)) / np.linalg.norm(light.direction + (0, 0, 1))
    hx, hy, hz = (np.float32(v) for v in half)
    peak = np.maximum((hz - hx * slope_x - hy * slope_y) * norm, 0.0)
    flat = np.full_like(peak, hz)
    strongest = int(look[9].max())
    total = np.zeros_like(peak)
    for step in range(1, strongest + 1):
        peak, flat = peak * peak, flat * flat
        at = look[9] == step
        total[at] = (look[8] * (peak - 0.6 * flat))[at]
    return total


def _shadow(alpha: np.ndarray, design: Design, light: Light, rng: np.random.Generator) -> np.ndarray:
    """What the backdrop loses to the product's shadow, a factor (H, W); drawn small, as it is soft."""
    size = len(alpha)
    small = size // 4
    picture = Image.fromarray(alpha).resize((small, small), Image.BOX)
    unit = small / 224
    away = -light.direction[:2] * rng.uniform(9, 15) * unit
    if design.sub_category in STANDING:
        picture = _on_the_floor(picture, away)
        dark = np.asarray(picture.filter(ImageFilter.GaussianBlur(7 * unit)), dtype=np.float32) * np.float32(0.34 / 255)
        dark += np.asarray(picture.filter(ImageFilter.GaussianBlur(2 * unit)), dtype=np.float32) * np.float32(0.22 / 255)
    else:
        moved = picture.transform((small, small), Image.AFFINE, (1, 0, -away[0], 0, 1, -away[1]), Image.BILINEAR)
        dark = np.asarray(moved.filter(ImageFilter.GaussianBlur(7 * unit)), dtype=np.float32)
        dark = dark * np.float32(rng.uniform(0.26, 0.38) / 255)
    return 1.0 - np.asarray(Image.fromarray(dark).resize((size, size), Image.BILINEAR))


def _on_the_floor(picture: Image.Image, away: np.ndarray) -> Image.Image:
    """The silhouette laid flat at its own feet."""
    flat = Image.new("L", picture.size)
    bounds = picture.getbbox()
    if bounds:
        left, top, right, bottom = bounds
        depth = max(2, int((bottom - top) * 0.13))
        laid = picture.crop(bounds).resize((right - left, depth))
        flat.paste(laid, (left + round(away[0]), bottom - (depth + 1) // 2))
    return flat
