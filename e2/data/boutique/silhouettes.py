"""Which function draws which sub-category."""

from collections.abc import Callable

import numpy as np

from e2.data.boutique import bags, boots, bottoms, heels, outerwear, shoes, tops
from e2.data.boutique.attributes import Design
from e2.data.boutique.shapes import Drawing

SILHOUETTES: dict[str, Callable[[Design, Drawing, np.random.Generator], None]] = {
    "T-Shirts": tops.t_shirt,
    "Shirts": tops.shirt,
    "Hoodies": tops.hoodie,
    "Sweaters": tops.sweater,
    "Cardigans": tops.cardigan,
    "Jackets": outerwear.jacket,
    "Coats": outerwear.coat,
    "Blazers": outerwear.blazer,
    "Dresses": bottoms.dress,
    "Skirts": bottoms.skirt,
    "Trousers": bottoms.trousers,
    "Jeans": bottoms.jeans,
    "Shorts": bottoms.shorts,
    "Sneakers": shoes.sneaker,
    "Boots": boots.boot,
    "Heels": heels.heel,
    "Loafers": shoes.loafer,
    "Tote Bags": bags.tote,
    "Backpacks": bags.backpack,
    "Handbags": bags.handbag,
}
SHOES = ("Sneakers", "Boots", "Heels", "Loafers")
BAGS = ("Tote Bags", "Backpacks", "Handbags")
STANDING = SHOES + BAGS  # stand on the ground; garments hang


def draw(design: Design, rng: np.random.Generator) -> Drawing:
    """The product in studio units, before it is posed."""
    drawing = Drawing()
    SILHOUETTES[design.sub_category](design, drawing, rng)
    wide, tall, taper, sway = rng.uniform(-0.05, 0.05), rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04), rng.uniform(-2, 2)
    if design.sub_category in STANDING:
        taper = sway = 0.0

    def cut(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        return np.stack([x * (1 + wide + taper * y / 80) + sway * np.sin(y / 45), y * (1 + tall)], axis=1)

    drawing.warp(cut)
    return drawing
