"""torchvision's decoders of JPEGs, on request (``data.decoder``): Pillow's pixels, as the tensor that training resizes anyway.

PyTorch has announced its end in favour of TorchCodec, which turns photos by their EXIF data itself.
"""

import functools
import io
from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from e2.data.rgb import SEEN_RATIO, stands_upright
from e2.errors import InputError, in_brief

PILLOW, TORCHVISION, NVJPEG = "pillow", "torchvision", "nvjpeg"
EOI = b"\xff\xd9"  # ends a JPEG
AS_RGB = [82, 71, 66]  # what a JPEG calls its components if they are red, green and blue


def require_decoder(name: str, device: torch.device) -> None:
    """Refuses a decoder that is not there.

    Raises:
        InputError: this torchvision decodes no JPEGs, or not on the run's device.
    """
    if name != PILLOW:
        _decode_jpeg()
    if name == NVJPEG:
        _require_nvjpeg(device)


def in_workers(name: str) -> str:
    """Decoder that the loader's workers use: what nvJPEG leaves to them is torchvision's."""
    return TORCHVISION if name == NVJPEG else name


def decoded(jpeg: bytes, opened: Image.Image) -> Tensor | None:
    """Decodes a JPEG that Pillow has ``opened`` to bytes (3, H, W); None if it has to be decoded by Pillow.

    Pillow takes what is CMYK, lies on its side or is very long, and whatever torchvision refuses: it knows why.
    """
    if not _is_plain(opened):
        return None
    try:
        pixels = _decode_jpeg()(torch.frombuffer(bytearray(jpeg), dtype=torch.uint8), mode="RGB")
    except RuntimeError:
        return None
    return pixels if pixels.shape == (3, opened.height, opened.width) else None


def is_for_device(jpeg: bytes, opened: Image.Image) -> bool:
    """Tells whether a GPU may decode a photo that Pillow has ``opened``: a plain JPEG of luma and colours, with its end."""
    as_rgb = opened.info.get("adobe_transform") == 0 or [part[0] for part in getattr(opened, "layer", ())] == AS_RGB
    return opened.format == "JPEG" and _is_plain(opened) and not (as_rgb and opened.mode == "RGB") and jpeg.endswith(EOI)


def decode_jpegs(jpegs: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Decodes JPEGs, bytes (N,) on the CPU, on a device: bytes (3, H, W) each.

    On a GPU torchvision has nvJPEG write into memory that the stream may yet read (pytorch/vision #9606), so the stream is
    waited for.

    Raises:
        RuntimeError: one of them cannot be decoded.
    """
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
    return _decode_jpeg()(list(jpegs), mode="RGB", device=device)


def _is_plain(opened: Image.Image) -> bool:
    """Tells whether a JPEG needs nothing but decoding: grey or RGB, upright, and not very long."""
    return opened.mode in ("L", "RGB") and max(opened.size) <= SEEN_RATIO * min(opened.size) and stands_upright(opened)


def _require_nvjpeg(device: torch.device) -> None:
    others = "take torchvision or pillow"
    if device.type != "cuda":
        raise InputError(f"data.decoder nvjpeg decodes on a CUDA GPU, and this run is on the {device.type}; {others}")
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    try:
        decode_jpegs([torch.frombuffer(bytearray(small.getvalue()), dtype=torch.uint8)], device)
    except RuntimeError as error:
        raise InputError(
            f"data.decoder nvjpeg: torchvision decodes none here ({in_brief(str(error), 120)}); {others}"
        ) from error


@functools.cache
def _decode_jpeg() -> Callable:
    try:
        from torchvision.io import decode_jpeg
    except ImportError as error:
        raise InputError("data.decoder: the torchvision installed here decodes no JPEGs; take pillow") from error
    return decode_jpeg
