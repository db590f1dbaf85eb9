"""Transforms a photo to the model's input, for evaluation and for training.

Evaluation resizes as the backbone's own transform does. Training resizes a little larger by the same rule and crops a random
window, so that photos look as they will in evaluation. (``RandomResizedCrop`` would crop squares out of tall photos that
evaluation squashes or pads.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.v2 import functional

from e2.data.colour_jitter import ColourJitter
from e2.data.decoders import PILLOW, TORCHVISION
from e2.data.images import ImageSource, as_photo, load_pixels
from e2.data.rgb import trimmed
from e2.errors import require_choice
from e2.foreign import OpenClip


@dataclass(frozen=True)
class Augmentation:
    """Strength of the random changes in a training view."""

    enlarge: float  # the photo is resized to this times the input size before the window is cut
    flip: float  # probability of mirroring
    jitter: float  # strength of changes of brightness, contrast and saturation; hue changes by a tenth of it


NONE = "none"
AUGMENTATIONS = {
    "light": Augmentation(enlarge=1.12, flip=0.0, jitter=0.1),
    "strong": Augmentation(enlarge=1.3, flip=0.5, jitter=0.3),
}


class PhotoTransform(transforms.Compose):
    """Turns any photo into (3, H, W): upright RGB first, then the steps.

    ``enough`` is the longer side of resized photos in pixels, if a JPEG may be decoded at reduced size
    (`e2.data.images.load_image`); None: it may not. ``decoder`` decodes JPEGs (`e2.data.decoders`); Pillow does if the
    resizing needs its pictures.
    """

    def __init__(self, steps: Sequence[Callable], enough: int | None = None, decoder: str = PILLOW):
        super().__init__(list(steps))
        self.enough = enough
        self.decoder = decoder if any(isinstance(step, ResizePixels) for step in steps) else PILLOW

    def __call__(self, photo: ImageSource) -> Tensor:
        """Transforms a Pillow picture of any mode, or an image file given by path or bytes.

        Raises:
            BadImage: it cannot be used.
        """
        return super().__call__(self._read(photo))

    def _read(self, photo: ImageSource) -> Image.Image | Tensor:
        if self.decoder == TORCHVISION and not isinstance(photo, Image.Image):
            return load_pixels(photo if isinstance(photo, bytes) else Path(photo), self.enough)
        return as_photo(photo, self.enough)

    def pixels(self, photo: ImageSource) -> Tensor:
        """Transforms a photo up to the last but two steps: (3, H, W) bytes, which :meth:`normalised` finishes."""
        return self._finished(self._read(photo))

    def by_workers(self) -> "PhotoTransform":
        """Returns a transform of the same views that leaves nothing to a device."""
        return self

    def finish(self, photos: Any) -> Any:
        """Finishes a batch in the step's process, where nothing is left to do: see `e2.data.device_views`."""
        return photos

    def _finished(self, picture: Image.Image | Tensor) -> Tensor:
        for step in self.transforms[:-2]:  # the last two: to tensor, normalise
            picture = step(picture)
        return functional.pil_to_tensor(picture)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Bytes (..., 3, H, W) -> the model's input, to the bit."""
        return self.transforms[-1](pixels.float().div(255))

    def __repr__(self) -> str:
        """Everything that a view depends on, by which a cache knows it."""
        return super().__repr__() if self.decoder == PILLOW else f"{super().__repr__()} of photos that {self.decoder} decodes"


class ResizePixels:
    """Resizes photos, or their bytes (3, H, W), with torchvision: a quarter of Pillow's time, within two levels of its pixels.

    Bicubic may differ more at the hardest edges, where the order of its two passes matters, which Pillow 13 chooses by size.
    """

    def __init__(self, resize: transforms.Resize):
        self.resize = resize

    def __call__(self, photo: Image.Image | Tensor) -> Image.Image:
        return functional.to_pil_image(self.resized(photo if isinstance(photo, Tensor) else functional.pil_to_tensor(photo)))

    def resized(self, pixels: Tensor) -> Tensor:
        """Resizes bytes (3, H, W), on any device."""
        return functional.resize(pixels, self.resize.size, self.resize.interpolation, antialias=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.resize})"


def photo_transform(rule: Mapping[str, Any]) -> PhotoTransform:
    """Builds the evaluation transform from fields of open_clip's ``PreprocessCfg``, such as a tower's ``preprocess_cfg``."""
    config = PreprocessCfg(**{**rule, "size": open_clip.transformer.to_2tuple(rule["size"])})
    config.mean, config.std = tuple(config.mean), tuple(config.std)  # one form, by which a cache knows the transform
    steps = list(image_transform_v2(config, is_train=False).transforms)
    # Resizing by the shorter side makes millions of pixels of a thin photo, by the longer side none at all.
    return PhotoTransform(steps if config.resize_mode == "squash" else [transforms.Lambda(_trimmed), *steps])


def _trimmed(photo: Image.Image | Tensor) -> Image.Image | Tensor:
    return photo if isinstance(photo, Tensor) else trimmed(photo)  # those that torchvision decodes are not very long


def training_transform(visual: OpenClip, augment: str, decoder: str = PILLOW) -> PhotoTransform:
    """Builds the training transform of an open_clip image tower; ``none`` is that of evaluation."""
    require_choice("augmentation", augment, (NONE, *AUGMENTATIONS))
    rule = dict(visual.preprocess_cfg)
    if augment == NONE:
        return photo_transform(rule)
    view = AUGMENTATIONS[augment]
    height, width = open_clip.transformer.to_2tuple(rule["size"])
    larger = (round(height * view.enlarge), round(width * view.enlarge))
    resized = photo_transform({**rule, "size": larger})
    resize, normalise = resized.transforms[:-2], resized.transforms[-2:]  # the last two: to tensor, normalise
    quick = [ResizePixels(step) if isinstance(step, transforms.Resize) else step for step in resize]
    steps = [*quick, transforms.RandomCrop((height, width))]
    if view.flip:
        steps.append(transforms.RandomHorizontalFlip(view.flip))
    if view.jitter:
        steps.append(ColourJitter(view.jitter, view.jitter / 10))
    return PhotoTransform([*steps, *normalise], max(larger), decoder)
