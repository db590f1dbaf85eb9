"""From a decoded photo to the model's input, for training.

Evaluation uses the backbone's own transform. Training starts from the same resizing rule, a little larger, and cuts a random
window: so the model sees a photo in training the way it will see it later. (``RandomResizedCrop`` would cut squares out of
tall photos that evaluation squashes or pads whole.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import open_clip
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional

from e2.data.colour_jitter import ColourJitter
from e2.errors import InputError
from e2.foreign import OpenClip


@dataclass(frozen=True)
class Augmentation:
    """How far a training view may stray from the photo."""

    enlarge: float  # the photo is resized to this times the input size before the window is cut
    flip: float  # probability of a mirror image
    jitter: float  # strength of changes of brightness, contrast and saturation; hue moves by a tenth of it


AUGMENTATIONS = {
    "none": Augmentation(enlarge=1.0, flip=0.0, jitter=0.0),
    "light": Augmentation(enlarge=1.12, flip=0.0, jitter=0.1),
    "strong": Augmentation(enlarge=1.3, flip=0.5, jitter=0.3),
}


class TrainingTransform(transforms.Compose):
    """Its steps, and how many pixels of a photo they make use of.

    Attributes:
        enough: the longer side that photos are resized to, in pixels; see `e2.data.images.load_image`.
    """

    def __init__(self, steps: Sequence[Callable], enough: int):
        super().__init__(list(steps))
        self.enough = enough


class ResizePixels:
    """torchvision's ``Resize`` of a photo as a tensor of bytes: a quarter of Pillow's time, within two levels of its pixels.

    At the hardest edges bicubic may differ by more: there the order of its two passes shows, which Pillow 13 chooses by size.
    """

    def __init__(self, resize: transforms.Resize):
        self.resize = resize

    def __call__(self, photo: Image.Image) -> Image.Image:
        pixels = functional.pil_to_tensor(photo)
        return functional.to_pil_image(functional.resize(pixels, self.resize.size, self.resize.interpolation, antialias=True))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.resize})"


def training_transform(visual: OpenClip, augment: str) -> TrainingTransform:
    """PIL image -> (3, H, W) for an open_clip image tower.

    Raises:
        InputError: unknown augmentation.
    """
    if augment not in AUGMENTATIONS:
        raise InputError(f"unknown augmentation {augment!r}; choose one of {', '.join(AUGMENTATIONS)}")
    view, config = AUGMENTATIONS[augment], dict(visual.preprocess_cfg)
    height, width = open_clip.transformer.to_2tuple(config["size"])
    larger = (round(height * view.enlarge), round(width * view.enlarge))
    resized = open_clip.image_transform(
        larger,
        is_train=False,
        mean=config["mean"],
        std=config["std"],
        resize_mode=config["resize_mode"],
        interpolation=config["interpolation"],
        fill_color=config["fill_color"],
    )
    resize, normalise = resized.transforms[:-2], resized.transforms[-2:]  # the last two: to tensor, normalise
    quick = [ResizePixels(step) if isinstance(step, transforms.Resize) else step for step in resize]
    steps = [*quick, transforms.RandomCrop((height, width))]
    if view.flip:
        steps.append(transforms.RandomHorizontalFlip(view.flip))
    if view.jitter:
        steps.append(ColourJitter(view.jitter, view.jitter / 10))
    return TrainingTransform([*steps, *normalise], enough=max(larger))
