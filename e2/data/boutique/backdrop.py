"""The studio behind the product: a wall in a quiet colour, a floor for what stands, now and then a round panel."""

import numpy as np

from e2.data.boutique.attributes import Design
from e2.data.boutique.light import Light
from e2.data.boutique.palette import rgb
from e2.data.boutique.silhouettes import STANDING

# Wall, and floor or far corner.
_STUDIOS = (
    ("#f4f2ee", "#e2ded7"), ("#ece7df", "#d9d0c3"), ("#e6ebee", "#ccd6dc"), ("#f1e4df", "#e2c9c0"), ("#e4e9df", "#c9d3c2"),
    ("#f3ead2", "#e5d3a8"), ("#e6e1ee", "#cfc5de"), ("#dfe8ea", "#b7cbd1"), ("#efe1d0", "#d8bb9a"), ("#fafaf8", "#ececea"),
    ("#d9dcdf", "#b9bec4"), ("#f2dcd6", "#dfb4a8"), ("#d5e0d4", "#adc0ab"), ("#cfd9e6", "#a6b8ce"),
    ("#d99a7c", "#c07e60"), ("#a9bda2", "#8ea486"), ("#93abc0", "#7690a8"), ("#d8b4ae", "#c09690"), ("#dcc07e", "#c4a45e"),
    ("#b3a6c4", "#968aa8"), ("#8fb3ae", "#719692"),
)  # fmt: skip


def backdrop(size: int, design: Design, cloth: str, light: Light, rng: np.random.Generator) -> np.ndarray:
    """The empty studio, (3, H, W) float32, in a colour that sets the cloth off."""
    choices = [_STUDIOS[i] for i in rng.choice(len(_STUDIOS), 2, replace=False)]
    wall, floor = (rgb(c).astype(np.float32) for c in max(choices, key=lambda pair: np.abs(rgb(pair[0]) - rgb(cloth)).sum()))
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = axis[None, :], axis[:, None]
    if design.sub_category in STANDING:
        horizon, blend = rng.uniform(0.02, 0.16), rng.uniform(0.02, 0.2)
        share = _smooth((y - horizon) / blend + 0.5) + 0 * x
    else:
        share = _smooth(0.5 + y * rng.uniform(-0.8, 0.8) + x * rng.uniform(-0.8, 0.8))
    if rng.random() < 0.25:
        radius, cx, cy = rng.uniform(0.3, 0.42), rng.uniform(-0.08, 0.08), rng.uniform(-0.1, 0.04)
        disc = np.clip((radius - np.sqrt((x - cx) ** 2 + (y - cy) ** 2)) * size, 0, 1)
        share = share + disc * (rng.uniform(0.5, 0.9) - share)
    lx, ly = (np.float32(0.3 * v) for v in light.direction[:2])
    pool = 1.05 - rng.uniform(0.2, 0.4) * (x - lx) ** 2 - rng.uniform(0.2, 0.4) * (y - ly) ** 2
    share *= pool
    return np.stack([pool * w + share * (f - w) for w, f in zip(wall, floor, strict=True)])


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
