"""One product of the boutique: everything about it follows from (seed, split, index, size)."""

import io
from dataclasses import dataclass

import numpy as np

from e2.data.boutique.attributes import Design, sample_design
from e2.data.boutique.light import sample_light
from e2.data.boutique.palette import jittered, mix, roles
from e2.data.boutique.photo import photograph
from e2.data.boutique.scene import Box, patch_for, pose_for, rasterise, regions
from e2.data.boutique.silhouettes import draw
from e2.data.boutique.words import describe

SPLITS = ("train", "val", "test")
_QUALITY = 92
_SOLES = ("#f3efe6", "#f3efe6", "#e2cfa6", "#2a282b", "#b98756")
_FLEECES = ("#efe4cf", "#e3cfae", "#f6f1e8")


@dataclass(frozen=True)
class BoutiqueProduct:
    """A drawn product: picture (JPEG), description, tags in the catalogue's order, box of each entity in 0..1."""

    product_id: str
    image: bytes
    caption: str
    tags: dict[str, str]
    regions: dict[str, Box]
    design: Design


def draw_product(index: int, *, split: str = "train", seed: int = 0, size: int = 224) -> BoutiqueProduct:
    """Draws product ``index`` of a split; the same arguments give the same bytes."""
    rng = np.random.default_rng((seed, SPLITS.index(split), index))
    design = sample_design(rng, split)
    caption = describe(design, rng)
    drawing = draw(design, rng)
    pose = pose_for(design, drawing, rng)
    patch = patch_for(design, drawing, pose, rng)
    cloth, warm, sole = jittered(design.colour, rng), str(rng.choice(_FLEECES)), str(rng.choice(_SOLES))
    tones = roles(cloth, jittered(design.partner, rng), design.metal, mix(warm, cloth, 0.04), sole)
    buffers = rasterise(drawing, pose, patch, design, tones, size)
    picture = photograph(buffers, pose, design, cloth, sample_light(rng), rng)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_QUALITY)
    boxes = regions(drawing, pose, patch, buffers.alpha)
    return BoutiqueProduct(f"boutique-{seed}-{split}-{index:06d}", stream.getvalue(), caption, design.tags, boxes, design)
