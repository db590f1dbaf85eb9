"""How each material is woven: a repeating tile of vector drawing, drawn once per process."""

from functools import lru_cache

import numpy as np

from e2.data.boutique.fabrics import MATERIAL_INDEX, MATERIALS
from e2.data.boutique.raster import TEXELS, TILE, render

_N = TILE * TEXELS  # texels on one side of a tile


def _lines(period: float, width: float, light: float, slant: float = 0.0) -> str:
    """Parallel yarns over the tile, upright or slanted; ``light`` is a grey in 0..1."""
    count = int(round(TILE / period))
    path = " ".join(
        f"M {i * TILE / count - (TILE if slant else 0):.3f} 0 l {slant * TILE:.3f} {TILE}"
        for i in range(count * (3 if slant else 1))
    )
    return f'<path d="{path}" stroke="{_grey(light)}" stroke-width="{width}" fill="none"/>'


def _across(markup: str) -> str:
    return f'<g transform="rotate(90 {TILE / 2} {TILE / 2})">{markup}</g>'


def _grey(light: float) -> str:
    return f"#{int(255 * light):02x}" + f"{int(255 * light):02x}" * 2


def _repeat(cell: str, width: float, height: float, shift: float = 0.0) -> str:
    """The cell over the whole tile; every second row may be shifted by a share of the width."""
    rows = int(round(TILE / height))
    columns = int(round(TILE / width))
    uses = "".join(
        f'<use href="#cell" x="{(c + shift * (r % 2)) * width:.3f}" y="{r * height:.3f}"/>'
        for r in range(-1, rows + 1)
        for c in range(-1, columns + 1)
    )
    return f'<defs><g id="cell">{cell}</g></defs>{uses}'


def _blobs(count: int, radius: float, seed: int, swirl: bool) -> str:
    """Curls or pebbles scattered over the tile, wrapped at its edges."""
    rng, marks = np.random.default_rng(seed), []
    for x, y, size, light in rng.uniform((0, 0, 0.7, 0.3), (TILE, TILE, 1.3, 0.72), (count, 4)):
        r = radius * size
        for dx in (-TILE, 0, TILE) if x < 6 or x > TILE - 6 else (0,):
            for dy in (-TILE, 0, TILE) if y < 6 or y > TILE - 6 else (0,):
                style = (
                    f'fill="none" stroke="{_grey(light)}" stroke-width="{r * 0.6:.2f}"' if swirl else f'fill="{_grey(light)}"'
                )
                marks.append(f'<circle cx="{x + dx:.2f}" cy="{y + dy:.2f}" r="{r:.2f}" {style}/>')
    return "".join(marks)


# V stitch, cable cross, herringbone and so on: mid grey is neutral, darker is a valley, lighter a ridge.
_STITCH = '<path d="M 0 0 Q .5 2 2 3.2 L 2 5 Q .2 3.6 0 1.8 Z M 4 0 Q 3.5 2 2 3.2 L 2 5 Q 3.8 3.6 4 1.8 Z" fill="#a8a8a8"/>' \
          '<path d="M 2 0 L 2 4 M 0 0 L 0 4 M 4 0 L 4 4" stroke="#404040" stroke-width=".7"/>'  # fmt: skip
_CABLE = (
    '<rect width="16" height="16" fill="#5e5e5e"/>'
    '<path d="M 1 0 V 16 M 15 0 V 16" stroke="#303030" stroke-width="1.6"/>'
    '<path d="M 5 -3 C 4 5 12 8 11 19" stroke="#4a4a4a" stroke-width="5.4" fill="none"/>'
    '<path d="M 5 -3 C 4 5 12 8 11 19" stroke="#a6a6a6" stroke-width="4" fill="none"/>'
    '<path d="M 11 -3 C 12 5 4 8 5 19" stroke="#444" stroke-width="5.6" fill="none"/>'
    '<path d="M 11 -3 C 12 5 4 8 5 19" stroke="#b4b4b4" stroke-width="4" fill="none"/>'
)
_HERRINGBONE = (
    '<path d="M 0 0 l 4 4 M 0 2 l 4 4 M 0 -2 l 4 4 M 8 0 l -4 4 M 8 2 l -4 4 M 8 -2 l -4 4" '
    'stroke="#b5b5b5" stroke-width=".9"/><path d="M 4 0 V 4 M 0 0 V 4" stroke="#585858" stroke-width=".5"/>'
)
_BASKET = (
    '<rect width="1.9" height="1.9" x=".05" y=".05" fill="#a5a5a5"/>'
    '<rect width="1.9" height="1.9" x="2.05" y="2.05" fill="#a5a5a5"/>'
    '<path d="M 2 2 h2 v-2 M 0 4 h2 v-2" stroke="#555" stroke-width=".5" fill="none"/>'
)
_QUILT = (
    '<path d="M 8 0 L 16 8 L 8 16 L 0 8 Z" fill="#8e8e8e"/><path d="M 8 1.5 L 13 7 L 8 10 L 3 7 Z" fill="#a9a9a9"/>'
    '<path d="M 0 8 L 8 16 L 16 8 L 14 8 L 8 13.5 L 2 8 Z" fill="#6c6c6c"/>'
    '<path d="M 8 0 L 16 8 L 8 16 L 0 8 Z" fill="none" stroke="#2e2e2e" stroke-width=".9"/>'
)
_PETALS = "".join(
    f'<ellipse cx="8" cy="4.6" rx="1.9" ry="2.7" transform="rotate({a} 8 8)" fill="#fff"/>' for a in range(0, 360, 60)
)
_BLOSSOM = (
    f'<g transform="scale(.5)">{_PETALS}<circle cx="8" cy="8" r="1" fill="#000"/><circle cx="0" cy="8" r="1.7" fill="#fff"/>'
    '<path d="M 0 0 Q 4 3 8 0 Q 12 3 16 0" stroke="#fff" stroke-width="1.1" fill="none"/></g>'
)
_WEAVES = {
    "jersey": lambda: _lines(1.6, 0.6, 0.38),
    "denim": lambda: _lines(2.0, 0.9, 0.3, slant=1.0),
    "knit": lambda: _repeat(_STITCH, 4, 4),
    "cable": lambda: _repeat(_CABLE, 16, 16),
    "leather": lambda: _blobs(1500, 1.0, 5, swirl=False),
    "suede": lambda: _blobs(260, 2.4, 6, swirl=False),
    "satin": lambda: "",
    "corduroy": lambda: _lines(3.2, 1.0, 0.18) + f'<g transform="translate(1.6)">{_lines(3.2, 1.1, 0.68)}</g>',
    "tweed": lambda: _repeat(_HERRINGBONE, 8, 4),
    "linen": lambda: _lines(1.6, 0.7, 0.38) + _across(_lines(2.1, 0.6, 0.66)),
    "canvas": lambda: _repeat(_BASKET, 4, 4),
    "fleece": lambda: _blobs(700, 1.7, 8, swirl=True),
    "lace": lambda: "",
    "ripstop": lambda: _lines(6.4, 0.7, 0.75) + _across(_lines(6.4, 0.7, 0.75)),
    "down": lambda: _repeat(_QUILT, 16, 16),
    "velvet": lambda: _blobs(200, 2.0, 9, swirl=False),
    "patent": lambda: "",
    "felt": lambda: _blobs(900, 1.1, 10, swirl=False),
    "smooth": lambda: "",
    "rib": lambda: _lines(3.2, 1.3, 0.25),
    "shearling": lambda: _blobs(520, 2.1, 11, swirl=True),
    "jute": lambda: _lines(3.2, 1.1, 0.2, slant=1.0),
    "rubber": lambda: "",
    "metal": lambda: "",
    "patch": lambda: "",
}
_SPECKS = "".join(
    f'<circle cx="{x:.1f}" cy="{y:.1f}" r=".42" fill="#fff"/>' for x, y in np.random.default_rng(3).uniform(0, TILE, (420, 2))
)
_GROUNDS = {
    "pale": lambda: _lines(2.0, 0.55, 0.5, slant=1.0),
    "flecks": lambda: _SPECKS,
    "nude": lambda: _repeat(_BLOSSOM, 8, 8),
}


@lru_cache(maxsize=4)
def weave_atlas(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Light and ground of every material, two arrays (materials, texels * texels).

    Light is a factor's deviation (0 neutral); ground is the share (0..1) of what shows between the yarns. Both are
    averaged over the footprint of a pixel of a ``size`` picture, so that a nearest look-up does not alias.
    """
    light = np.zeros((len(MATERIALS), _N * _N), dtype=np.float32)
    ground = np.zeros_like(light)
    rng = np.random.default_rng(7)
    for index, (name, fabric) in enumerate(MATERIALS.items()):
        weave = prefiltered(tile(_WEAVES[name](), "#808080")[..., 0], size)
        weave = (weave - weave.mean()) * 2.0 * fabric.contrast
        speckle = prefiltered(rng.standard_normal((_N, _N)).astype(np.float32), size)
        light[index] = (weave + speckle / speckle.std() * fabric.grain * 0.5).ravel()
        if fabric.ground:
            ground[index] = prefiltered(tile(_GROUNDS[fabric.ground](), "#000000")[..., 0], size).ravel()
    ground[MATERIAL_INDEX["lace"]] = 1.0 - ground[MATERIAL_INDEX["lace"]]  # the flowers are the cloth
    return light, ground


def tile(markup: str, background: str) -> np.ndarray:
    """The markup drawn on one tile, (texels, texels, 3) in 0..1."""
    view = f'viewBox="0 0 {TILE} {TILE}" width="{_N}" height="{_N}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {view}><rect width="{TILE}" height="{TILE}" fill="{background}"/>'
    return render(f"{head}{markup}</svg>")[..., :3].astype(np.float32) / 255.0


def prefiltered(image: np.ndarray, size: int) -> np.ndarray:
    """The periodic image averaged over the footprint of one pixel."""
    width = max(1, round(TEXELS * 200 / size))
    for axis in (0, 1):
        image = sum(np.roll(image, shift, axis) for shift in range(-(width // 2), width - width // 2)) / width
    return image
