"""Randomly changes brightness, contrast, saturation and hue in one pass over the pixels.

torchvision's ``ColorJitter`` makes a pass for each, and goes to HSV and back for the hue, which took 40 % of a training view's
time. The changes are linear maps of the colours (hue: a rotation about the grey axis) and commute, so one matrix and one
offset do them all; values are clipped once, at the end.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, which Pillow uses to make a photo grey
GREY = (19_595, 38_470, 7_471)  # the same, as Pillow multiplies them: 1 is 2 ** 16
TO_YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])  # luma, and the plane of the hues


class ColourChange(NamedTuple):
    """Linear change of a photo's colours, towards or away from its mean grey."""

    colours: tuple[float, ...]  # (9,) the 3 x 3 map of RGB, row by row
    grey: float  # what is added to each channel, in mean greys of the photo


class ColourJitter:
    """Jitters the colours of RGB photos, using PyTorch's generator.

    Args:
        strength: brightness, contrast and saturation are multiplied by 1 - ``strength`` to 1 + ``strength``.
        turn: largest hue rotation either way, as a share of the colour circle.
    """

    def __init__(self, strength: float, turn: float):
        self.strength, self.turn = strength, turn

    def draw(self) -> ColourChange:
        """Draws the change of one photo."""
        *factors, turn = (2 * torch.rand(4) - 1).tolist()
        brightness, contrast, saturation = (1 + self.strength * factor for factor in factors)
        return colour_change(brightness, contrast, saturation, self.turn * turn)

    def __call__(self, photo: Image.Image) -> Image.Image:
        return changed(photo, self.draw())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(strength={self.strength}, turn={self.turn})"


def jittered(photo: Image.Image, brightness: float, contrast: float, saturation: float, turn: float) -> Image.Image:
    """Applies factors of brightness, contrast (about the mean grey) and saturation, and a hue rotation, to an RGB photo.

    A factor of 1 changes nothing; ``turn`` is a share of the colour circle, -0.5 to 0.5.
    """
    return changed(photo, colour_change(brightness, contrast, saturation, turn))


def colour_change(brightness: float, contrast: float, saturation: float, turn: float) -> ColourChange:
    """Combines what `jittered` applies."""
    colours = brightness * contrast * _of_colours(saturation, turn)
    return ColourChange(tuple(colours.ravel().tolist()), brightness * (1 - contrast))


def changed(photo: Image.Image, change: ColourChange) -> Image.Image:
    """Applies a change to an RGB photo."""
    offset = np.full((3, 1), change.grey * float(np.asarray(photo.convert("L")).mean()))
    return photo.convert("RGB", tuple(np.hstack([np.reshape(change.colours, (3, 3)), offset]).ravel().tolist()))


def changed_pixels(photos: Tensor, changes: Sequence[ColourChange]) -> Tensor:
    """Applies a change to each of B photos, bytes (B, 3, H, W) on any device, in Pillow's steps and so to its pixels.

    A processor that rounds once where Pillow's compiler rounds twice gives some pixels one level more or less.
    """
    tables = torch.tensor([[*change.colours, change.grey] for change in changes], dtype=torch.float64).to(photos.device)
    channels = photos.unbind(1)
    red, green, blue = (factor * channel.int() for factor, channel in zip(GREY, channels, strict=True))
    grey = (red + green + blue + (1 << 15)) >> 16
    offset = (tables[:, 9] * grey.double().mean((1, 2))).float()[:, None, None, None]
    colours = tables[:, :9].float().view(-1, 3, 3, 1, 1)
    mixed = sum(colours[:, :, place] * channel.float().unsqueeze(1) for place, channel in enumerate(channels))
    return (mixed + offset + 0.5).clamp_(0, 255).byte()


def _of_colours(saturation: float, turn: float) -> np.ndarray:
    """Builds the (3, 3) map of RGB that keeps luma."""
    angle = -2 * math.pi * turn  # from red to yellow to green, as HSV counts; the other way round in this plane
    about = saturation * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.linalg.inv(TO_YIQ) @ np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), about]]) @ TO_YIQ
