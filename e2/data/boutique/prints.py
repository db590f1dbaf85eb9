"""Prints: a repeating drawing in one or two further colours over the cloth."""

from functools import lru_cache

import numpy as np

from e2.data.boutique.weaves import prefiltered, tile

# Red is the share of the second colour, green that of the third; black leaves the cloth as it is.
_ONE, _TWO = "#ff0000", "#00ff00"


def _flower(x: float, y: float, size: float, turn: float) -> str:
    petals = "".join(
        f'<ellipse cy="-2.1" rx="1.35" ry="2" transform="rotate({turn + a})" fill="{_ONE}"/>' for a in range(0, 360, 72)
    )
    leaf = f'<path d="M 2.4 2.4 C 4 2 5.4 3.4 5.6 5 C 3.8 5 2.6 4 2.4 2.4 Z" transform="rotate({turn * 2})" fill="{_TWO}"/>'
    return f'<g transform="translate({x} {y}) scale({size})">{leaf}{petals}<circle r="1.1" fill="{_TWO}"/></g>'


def _grid(*cells: tuple[float, float, str]) -> str:
    """Marks at places of a 16-unit cell, repeated over the 64-unit tile."""
    return "".join(
        f'<g transform="translate({x + 16 * c} {y + 16 * r})">{mark}</g>'
        for r in range(-1, 5)
        for c in range(-1, 5)
        for x, y, mark in cells
    )


def _stripes(step: float, width: float, colour: str, upright: bool, start: float = 0.0) -> str:
    bars = "".join(f"M {start + i * step} 0 V 64 " for i in range(int(64 / step) + 1))
    turn = "" if upright else ' transform="rotate(90 32 32)"'
    return f'<path d="{bars}" stroke="{colour}" stroke-width="{width}"{turn}/>'


def _half(step: float, width: float, upright: bool, opacity: float, colour: str = _ONE) -> str:
    return f'<g opacity="{opacity}">{_stripes(step, width, colour, upright, step / 2)}</g>'


_DIAMOND = (
    f'<path d="M 8 0 L 12.5 8 L 8 16 L 3.5 8 Z" fill="{_ONE}"/>'
    f'<path d="M 0 0 L 16 16 M 16 0 L 0 16" stroke="{_TWO}" stroke-width=".7"/>'
)
_TOOTH = f'<path d="M 0 0 h4 v4 l2 -2 v2 l-2 2 h-4 l-2 2 v-2 l2 -2 Z" fill="{_ONE}"/>'
PRINTS = {
    "breton stripes": _stripes(8, 3.0, _ONE, upright=False, start=4),
    "pinstripes": _stripes(8, 0.9, _ONE, upright=True, start=4),
    "bold stripes": _stripes(16, 7.5, _ONE, upright=True, start=8),
    "gingham checks": _half(8, 4, True, 0.5) + _half(8, 4, False, 0.5),
    "windowpane checks": _stripes(16, 1.1, _ONE, True, 8) + _stripes(16, 1.1, _ONE, False, 8),
    "tartan checks": _half(16, 7, True, 0.55) + _half(16, 7, False, 0.55)
    + _stripes(16, 1, _TWO, True, 1) + _stripes(16, 1, _TWO, False, 1),
    "polka dots": _grid((4, 4, f'<circle r="2" fill="{_ONE}"/>'), (12, 12, f'<circle r="2" fill="{_ONE}"/>')),
    "pin dots": _grid(*((x, y, f'<circle r=".9" fill="{_ONE}"/>') for x in (2, 10) for y in (2, 10)),
                      *((x, y, f'<circle r=".9" fill="{_ONE}"/>') for x in (6, 14) for y in (6, 14))),
    "a floral print": _flower(10, 10, 1.25, 10) + _flower(42, 8, 1, 40) + _flower(26, 28, 1.3, 70) + _flower(54, 34, 1.2, 20)
    + _flower(9, 44, 1.05, 55) + _flower(38, 53, 1.25, 5) + _flower(57, 56, 0.7, 30) + _flower(26, 8, 0.65, 80),
    "a houndstooth check": _grid(*((x, y, _TOOTH) for x in (0, 8) for y in (0, 8))),
    "an argyle pattern": _grid((0, 0, _DIAMOND)),
}  # fmt: skip
PRINT_INDEX = {name: i + 1 for i, name in enumerate(PRINTS)}  # 0 is plain


@lru_cache(maxsize=4)
def print_atlas(size: int) -> np.ndarray:
    """Shares of the second and the third colour, (prints + 1, 2, texels * texels) in 0..1; entry 0 is plain."""
    tiles = [prefiltered(tile(markup, "#000000"), size)[..., :2] for markup in PRINTS.values()]
    flat = np.stack([each.reshape(-1, 2).T for each in tiles])
    return np.concatenate([np.zeros_like(flat[:1]), flat])
