"""Finds the part of a photo that the encoder saw, over which patches are drawn."""

from e2.errors import InputError

Box = tuple[float, float, float, float]


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
