"""torchvision's decoder of JPEGs, on request (``data.decoder``): Pillow's pixels, as the tensor that training resizes anyway.

PyTorch has announced its end in favour of TorchCodec, which turns photos by their EXIF data itself.
"""

import functools
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from e2.data.rgb import SEEN_RATIO, stands_upright
from e2.errors import InputError

PILLOW, TORCHVISION = "pillow", "torchvision"


def require_decoder(name: str) -> None:
    """Refuses a decoder that is not there.

    Raises:
        InputError: this torchvision decodes no JPEGs.
    """
    if name != PILLOW:
        _decode_jpeg()


def decoded(jpeg: bytes, opened: Image.Image) -> Tensor | None:
    """Decodes a JPEG that Pillow has ``opened`` to bytes (3, H, W); None if it has to be decoded by Pillow.

    Pillow takes what is CMYK, lies on its side or is very long, and whatever torchvision refuses: it knows why.
    """
    if opened.mode not in ("L", "RGB") or max(opened.size) > SEEN_RATIO * min(opened.size) or not stands_upright(opened):
        return None
    try:
        pixels = _decode_jpeg()(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), mode="RGB")
    except RuntimeError:
        return None
    return pixels if pixels.shape == (3, opened.height, opened.width) else None


@functools.cache
def _decode_jpeg() -> Callable:
    try:
        from torchvision.io import decode_jpeg
    except ImportError as error:
        raise InputError("data.decoder torchvision: the one installed here decodes no JPEGs; take pillow") from error
    return decode_jpeg
