"""Finds the part of a photo that suits a text best with the encoder itself, without known boxes.

ReCLIP's isolated proposal scoring (Subramanian et al., ACL 2022, section 3.1): a window's score is the sum of the text's
cosines with the crop and with the photo blurred around the window. The windows form a fixed grid of squares with a quarter and
half of the view's side, overlapping by half.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageFilter

from e2.adapters.encoder import Encoder
from e2.benchmarks.grounding.view import view_for
from e2.data.product import Box
from e2.progress import with_progress

SIDES = (4, 2)  # inverse window sides as a share of the view's
BLUR = 100 / 640  # radius as a share of the longer side: ReCLIP's 100 pixels on photos of about 640
VIEWS = 2  # of a window: cropped, and blurred around it


def windows() -> np.ndarray:
    """(M, 4) boxes in 0..1, in reading order, the small ones first."""
    places = [(np.arange(2 * parts - 1) / (2 * parts), 1 / parts) for parts in SIDES]
    return np.array([(x, y, x + side, y + side) for starts, side in places for y in starts for x in starts])


def best_windows(encoder: Encoder, photos: Sequence[Image.Image], texts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Finds, for each of N photos and entity, the window that suits the text best; texts: entity -> (N, D), normalised.

    Returns:
        entity -> (N, 4) boxes in the encoder's view.
    """
    found: dict[str, list[np.ndarray]] = {entity: [] for entity in texts}
    boxes = windows()
    for row in with_progress(range(len(photos)), "Windows", len(photos)):
        vectors = encoder.encode_images(_WindowViews(encoder, photos[row], boxes), progress=False)
        summed = vectors.reshape(VIEWS, len(boxes), -1).sum(axis=0)  # cosines are linear: sum the views, then compare
        for entity, own in texts.items():
            found[entity].append(boxes[(summed @ own[row]).argmax()])
    return {entity: np.stack(best) for entity, best in found.items()}


class _WindowViews(Sequence[Image.Image]):
    """The 2 M views of one photo: all crops, then all blurred ones."""

    def __init__(self, encoder: Encoder, photo: Image.Image, boxes: np.ndarray):
        self.seen = view_for(encoder.preprocessing, photo.size).picture(photo, max(photo.size))
        self.blurred = self.seen.filter(ImageFilter.GaussianBlur(BLUR * max(self.seen.size)))
        self.boxes = boxes

    def __len__(self) -> int:
        return VIEWS * len(self.boxes)

    def __getitem__(self, i: int) -> Image.Image:  # type: ignore[override]  # no slices
        window = pixel_box(self.boxes[i % len(self.boxes)], self.seen.size)
        inside = self.seen.crop(window)
        if i < len(self.boxes):
            return inside
        view = self.blurred.copy()
        view.paste(inside, window[:2])
        return view


def pixel_box(box: Sequence[float] | Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Converts a box in 0..1 to whole pixels, at least one each way."""
    x0, y0, x1, y1 = (round(edge * size[i % 2]) for i, edge in enumerate(box))
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)
