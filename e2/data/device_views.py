"""Training views that are made on the GPU: JPEGs decoded, resized and augmented there (``data.decoder=nvjpeg``).

A worker of the loader reads a photo's bytes and draws the view's random numbers, in the order in which a transform's steps do
them: a view is the same wherever it is made. What is not for a GPU (no JPEG, CMYK, lying on its side, very long, cut off)
becomes a view in the worker. The code runs on a CPU, too, for which the tests are grateful.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.v2 import functional

from e2.activations import stack_photos
from e2.data.colour_jitter import ColourChange, ColourJitter, changed_pixels
from e2.data.decoders import PILLOW, decode_jpegs
from e2.data.images import ImageSource, load_for_device, load_image
from e2.data.transforms import PhotoTransform, ResizePixels
from e2.errors import InputError

AT_ONCE = 1 << 25  # pixels decoded at a time, 100 MB, and those of one photo
UNCHANGED = ColourChange((1, 0, 0, 0, 1, 0, 0, 0, 1), 0)


class Draw(NamedTuple):
    """Random numbers of a view, and the photo's size."""

    size: tuple[int, int]  # height and width of the photo
    corner: tuple[int, int]  # top and left of the window in the resized photo
    mirrored: bool
    change: ColourChange


class DeviceView(NamedTuple):
    """A photo as a worker leaves it."""

    contents: bytes | Tensor  # a JPEG, or bytes (3, H, W) of the whole view
    draw: Draw | None  # None: the view is whole


class DevicePhotos(NamedTuple):
    """A batch of photos as a worker leaves them."""

    jpegs: Tensor  # (N,) bytes, one after another
    sizes: list[int]  # bytes of each
    draws: list[Draw | None]  # of the batch's photos; None: the view is whole
    whole: Tensor | None  # (M, 3, H, W) bytes

    def pin_memory(self) -> "DevicePhotos":
        return self


@dataclass
class DevicePixels:
    """Views on the device as bytes (B, 3, H, W). ``to`` makes the model's input of them, four times as large."""

    pixels: Tensor
    mean: Tensor  # (3, 1, 1), as the deviation
    deviation: Tensor

    def to(self, device: torch.device, **options: Any) -> Tensor:
        """(B, 3, H, W) numbers."""
        return self.pixels.to(device, **options).float().div_(255).sub_(self.mean).div_(self.deviation)

    def __getitem__(self, rows: slice) -> "DevicePixels":
        return DevicePixels(self.pixels[rows], self.mean, self.deviation)

    def __len__(self) -> int:
        return len(self.pixels)


def stack_views(views: Sequence[Any]) -> Any:
    """One batch of what workers make of photos: `DevicePhotos` of device views, else `e2.activations.stack_photos`."""
    if not isinstance(views[0], DeviceView):
        return stack_photos(views)
    jpegs = [view.contents for view in views if view.draw]
    whole = [view.contents for view in views if not view.draw]
    joined = torch.frombuffer(bytearray(b"".join(jpegs)), dtype=torch.uint8) if jpegs else torch.empty(0, dtype=torch.uint8)
    return DevicePhotos(
        joined, [len(jpeg) for jpeg in jpegs], [view.draw for view in views], torch.stack(whole) if whole else None
    )


class DeviceTransform(PhotoTransform):
    """Makes the views of a training transform on a device: workers call it, and the step's process :meth:`finish`.

    Raises:
        InputError: views that Pillow resizes, such as those of evaluation.
    """

    def __init__(self, plain: PhotoTransform, device: torch.device):
        if plain.decoder == PILLOW:
            raise InputError(
                "data.decoder nvjpeg: Pillow resizes the views asked for; take data.augment light or strong, or pillow"
            )
        super().__init__(plain.transforms, plain.enough, plain.decoder)
        self.plain, self.device = plain, device
        self.steps, self.normalise = plain.transforms[:-2], plain.transforms[-1]
        self.crop = next(step for step in self.steps if isinstance(step, transforms.RandomCrop))
        self.resizing = self.steps[: self.steps.index(self.crop)]
        self.resized = self._resized(torch.zeros((3, 8, 8), dtype=torch.uint8))  # its size is that of all

    def __call__(self, photo: ImageSource) -> Any:
        """A photo as a worker leaves it (`DeviceView`).

        Raises:
            BadImage: it cannot be used.
        """
        if isinstance(photo, Image.Image):
            return DeviceView(self.pixels(photo), None)
        read = load_for_device(photo if isinstance(photo, bytes) else Path(photo), self.enough)
        return DeviceView(read[0], self._draw(read[1])) if isinstance(read, tuple) else DeviceView(self._finished(read), None)

    def __repr__(self) -> str:
        """Names the views that workers make, which a cache keeps (:meth:`pixels`)."""
        return repr(self.plain)

    def _draw(self, size: tuple[int, int]) -> Draw:
        top, left, _, _ = self.crop.get_params(self.resized, self.crop.size)
        mirrored, change = False, UNCHANGED
        for step in self.steps:
            if isinstance(step, transforms.RandomHorizontalFlip):
                mirrored = bool(torch.rand(1) < step.p)
            elif isinstance(step, ColourJitter):
                change = step.draw()
        return Draw(size, (top, left), mirrored, change)

    def by_workers(self) -> PhotoTransform:
        """Returns the transform by which workers make whole views, equal to those of the device."""
        return self.plain

    def finish(self, photos: Any) -> Any:
        """Makes a batch's views on the device: `DevicePixels`. A GPU does so beside the step that it is still at.

        Raises:
            BadImage: neither the device nor Pillow can decode one of them.
        """
        if not isinstance(photos, DevicePhotos):  # from a cache
            return photos
        if self.device.type != "cuda":
            return self._finish(photos)
        beside, step = _stream(self.device), torch.cuda.current_stream(self.device)
        with torch.cuda.stream(beside):
            made = self._finish(photos)
        step.wait_stream(beside)
        for tensor in (made.pixels, made.mean, made.deviation):
            tensor.record_stream(step)  # or its memory would be free for the next batch while the step reads it
        return made

    def _finish(self, photos: DevicePhotos) -> DevicePixels:
        drawn = [draw for draw in photos.draws if draw]
        made = self._views(photos.jpegs.split(photos.sizes), drawn)
        whole = iter(() if photos.whole is None else photos.whole.to(self.device))
        pixels = torch.stack([next(made if draw else whole) for draw in photos.draws])
        mean, deviation = (
            torch.tensor(numbers, device=self.device).view(3, 1, 1) for numbers in (self.normalise.mean, self.normalise.std)
        )
        return DevicePixels(pixels, mean, deviation)

    def _views(self, jpegs: Sequence[Tensor], draws: Sequence[Draw]) -> Iterator[Tensor]:
        """Yields the photos' views, decoded a portion at a time."""
        ends = list(itertools.accumulate(draw.size[0] * draw.size[1] for draw in draws))
        for _, group in itertools.groupby(range(len(ends)), lambda row: ends[row] // AT_ONCE):
            rows = list(group)
            decoded = _decoded([jpegs[row] for row in rows], [draws[row].size for row in rows], self.device)
            windows = torch.stack([self._window(pixels, draws[row]) for pixels, row in zip(decoded, rows, strict=True)])
            yield from changed_pixels(windows, [draws[row].change for row in rows])

    def _window(self, pixels: Tensor, draw: Draw) -> Tensor:
        window = functional.crop(self._resized(pixels), *draw.corner, *self.crop.size)
        return window.flip(-1) if draw.mirrored else window

    def _resized(self, pixels: Tensor) -> Tensor:
        for step in self.resizing:
            pixels = step.resized(pixels) if isinstance(step, ResizePixels) else step(pixels)
        return pixels


def _decoded(jpegs: Sequence[Tensor], sizes: Sequence[tuple[int, int]], device: torch.device) -> list[Tensor]:
    """Decodes JPEGs on a device, those that it refuses by Pillow: bytes (3, H, W) each."""
    try:
        found = decode_jpegs(jpegs, device)
    except RuntimeError:  # one is enough to get none, and so is want of memory
        if len(jpegs) > 1:
            return [_decoded([jpeg], [size], device)[0] for jpeg, size in zip(jpegs, sizes, strict=True)]
        return [_by_pillow(jpegs[0], device)]
    pairs = zip(jpegs, found, sizes, strict=True)
    return [pixels if pixels.shape == (3, *size) else _by_pillow(jpeg, device) for jpeg, pixels, size in pairs]


def _by_pillow(jpeg: Tensor, device: torch.device) -> Tensor:
    return functional.pil_to_tensor(load_image(jpeg.numpy().tobytes())).to(device)


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
