"""A frozen copy of the start model, kept as a teacher against forgetting.

Image side only: photos stay close to their embeddings under the start model, and the texts are free to follow, so zero-shot
use and existing indexes go on working. The term is per photo, so it suits any batch size and method. It costs one more forward
pass over the photos.
"""

import copy

import torch
from torch import Tensor, nn

from e2.activations import Photos
from e2.model import E2
from e2.towers import open_tower


class StartTower:
    """A frozen copy of the image encoder. Not a module, so it is in no optimizer, checkpoint or wrapper.

    Made before training and before a resumed run's weights are loaded, so that its weights are always those that the
    pre-trained weights or the seed give.
    """

    def __init__(self, model: E2):
        start = model if model.goes_on else model.visual
        self.start: nn.Module = copy.deepcopy(start).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Photos) -> Tensor:
        """(B, 3, H, W), or activations of a front that is frozen in both models -> (B, D) of the start model."""
        start = self.start.to(images.device)
        if isinstance(start, E2):
            return start.read(images).image
        return start(images) if isinstance(images, Tensor) else open_tower(start).finish(images)
