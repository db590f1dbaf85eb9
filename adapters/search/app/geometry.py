"""Finds the part of a photo that the encoder saw, over which patches are drawn, and parts where its tokens looked."""

from collections.abc import Mapping

import numpy as np

from e2.errors import InputError

Box = tuple[float, float, float, float]
WITHIN = 0.8  # of the selections' weight, across as down, that a part holds, at the middle; patches around it are added
ALIKE = 0.6  # parts that share so much are one
WHOLE = 0.8  # of a photo: so large a part is no choice


def seen_box(photo: tuple[int, int], size: tuple[int, int], resize_mode: str) -> Box:
    """Computes the box (x0, y0, x1, y1) of the model's input, in shares of the photo's width and height.

    ``squash``: the whole photo. ``shortest``: the middle, where the longer side is cut. ``longest``: more than the photo,
    whose shorter side is padded, so that the box reaches beyond 0 and 1.

    Args:
        photo: (width, height).
        size: (height, width) of the model's input.
        resize_mode: of open_clip's image transform.

    Example:
        >>> seen_box((200, 100), (64, 64), "shortest")
        (0.25, 0.0, 0.75, 1.0)
    """
    if resize_mode == "squash":
        return 0.0, 0.0, 1.0, 1.0
    if resize_mode not in ("shortest", "longest"):
        raise InputError(f"unknown resize mode {resize_mode!r}; there are squash, shortest and longest")
    width, height = photo
    scales = (size[0] / height, size[1] / width)
    scale = max(scales) if resize_mode == "shortest" else min(scales)
    across, down = size[1] / scale / width, size[0] / scale / height  # shares of the photo
    return (1 - across) / 2, (1 - down) / 2, (1 + across) / 2, (1 + down) / 2


def placed(inner: Box, box: Box) -> Box:
    """Moves a box in shares of a part of a photo, ``box``, to shares of the photo.

    Example:
        >>> placed((0.0, 0.5, 1.0, 1.0), (0.5, 0.0, 1.0, 0.5))
        (0.5, 0.25, 1.0, 0.5)
    """
    left, top, right, bottom = box
    x0, y0, x1, y1 = inner
    width, height = right - left, bottom - top
    return left + x0 * width, top + y0 * height, left + x1 * width, top + y1 * height


def looked_at(weights: np.ndarray, seen: Box) -> Box:
    """Finds the part of a photo where selections lie: the middle 80 % of their weight, across and down, and a patch around it.

    Args:
        weights: (rows, columns) of the patches.
        seen: where their grid lies, in shares of the photo.

    Returns:
        The box in shares of the photo, within it.
    """
    (x0, x1), (y0, y1) = (_middle(weights.sum(axis=axis)) for axis in (0, 1))
    left, top, right, bottom = np.clip(placed((x0, y0, x1, y1), seen), 0, 1).round(3).tolist()
    return left, top, right, bottom


def parts_of(boxes: Mapping[str, Box]) -> list[tuple[list[str], Box]]:
    """Joins boxes of one photo that are nearly the same: names, and the box of the first; without nearly whole photos."""
    found: list[tuple[list[str], Box]] = []
    for name, box in boxes.items():
        if not 0 < _area(box) < WHOLE:
            continue
        for names, other in found:
            if _shared(box, other) > ALIKE:
                names.append(name)
                break
        else:
            found.append(([name], box))
    return found


def _middle(weights: np.ndarray) -> tuple[float, float]:
    """Ends (shares) of the patches (N,) that hold the middle of their weight, and of one more at each side."""
    upto = np.cumsum(weights) / weights.sum()
    first, last = np.searchsorted(upto, [(1 - WITHIN) / 2, (1 + WITHIN) / 2])
    return (first - 1) / len(weights), (last + 2) / len(weights)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(a: Box, b: Box) -> float:
    """Share of two boxes' union that both hold."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    return both / (_area(a) + _area(b) - both)
