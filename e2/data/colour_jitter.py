"""Randomly changes brightness, contrast, saturation and hue in one pass over the pixels.

torchvision's ``ColorJitter`` makes a pass for each, and goes to HSV and back for the hue, which took 40 % of a training view's
time. The changes are linear maps of the colours (hue: a rotation about the grey axis) and commute, so one matrix and one
offset do them all; values are clipped once, at the end.
"""

import math

import numpy as np
import torch
from PIL import Image

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, which Pillow uses to make a photo grey
TO_YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])  # luma, and the plane of the hues


class ColourJitter:
    """Jitters the colours of RGB photos, using PyTorch's generator.

    Args:
        strength: brightness, contrast and saturation are multiplied by 1 - ``strength`` to 1 + ``strength``.
        turn: largest hue rotation either way, as a share of the colour circle.
    """

    def __init__(self, strength: float, turn: float):
        self.strength, self.turn = strength, turn

    def __call__(self, photo: Image.Image) -> Image.Image:
        *factors, turn = (2 * torch.rand(4) - 1).tolist()
        brightness, contrast, saturation = (1 + self.strength * factor for factor in factors)
        return jittered(photo, brightness, contrast, saturation, self.turn * turn)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(strength={self.strength}, turn={self.turn})"


def jittered(photo: Image.Image, brightness: float, contrast: float, saturation: float, turn: float) -> Image.Image:
    """Applies factors of brightness, contrast (about the mean grey) and saturation, and a hue rotation, to an RGB photo.

    A factor of 1 changes nothing; ``turn`` is a share of the colour circle, -0.5 to 0.5.
    """
    grey = float(np.asarray(photo.convert("L")).mean())
    colours = brightness * contrast * _of_colours(saturation, turn)
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    return photo.convert("RGB", tuple(np.hstack([colours, offset]).ravel().tolist()))


def _of_colours(saturation: float, turn: float) -> np.ndarray:
    """Builds the (3, 3) map of RGB that keeps luma."""
    angle = -2 * math.pi * turn  # from red to yellow to green, as HSV counts; the other way round in this plane
    about = saturation * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.linalg.inv(TO_YIQ) @ np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), about]]) @ TO_YIQ
