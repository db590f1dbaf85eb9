"""The key light of the studio."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """A key light from (x, y, z), towards the camera; ``warmth`` tints it."""

    direction: np.ndarray  # (3,) unit length
    ambient: float
    warmth: float


def sample_light(rng: np.random.Generator) -> Light:
    angle = rng.uniform(-2.5, -0.65)  # from above, left or right
    reach = rng.uniform(0.45, 0.75)
    direction = np.array([math.cos(angle) * reach, math.sin(angle) * reach, 1.0])
    return Light(direction / np.linalg.norm(direction), rng.uniform(0.34, 0.46), rng.uniform(-0.025, 0.03))
