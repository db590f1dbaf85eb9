"""The model that training starts from, kept frozen beside the one that learns: a remedy against forgetting.

Image-side only. Photos keep close to where the start model puts them, the texts are free to follow; so zero-shot use and
vectors in an existing index go on working, and the term is one photo's own: any batch size, any method. It costs one more
pass over the photos without gradient.
"""

import copy

import torch
from torch import Tensor, nn

from e2.model import E2


class StartTower:
    """A frozen copy of what embeds photos. No module: so it is in no optimizer, checkpoint or wrapper.

    It is made before training, also before a resumed run's weights are put back: the same weights each time, as a run
    builds its model from the pre-trained weights or the seed alone.
    """

    def __init__(self, model: E2):
        start = model if model.goes_on else model.visual
        self.start: nn.Module = copy.deepcopy(start).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D) of the start model."""
        start = self.start.to(images.device)
        return start.encode_image(images) if isinstance(start, E2) else start(images)
