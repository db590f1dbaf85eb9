"""Training's resizing against Pillow's, which evaluation uses."""

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from e2.data.images import load_image
from e2.data.transforms import ResizePixels
from tests.conftest import jpeg


@pytest.mark.parametrize("interpolation", [InterpolationMode.BICUBIC, InterpolationMode.BILINEAR])
@pytest.mark.parametrize("size", [(40, 40), 40, (70, 90), (1, 3)])
def test_photos_are_resized_as_by_pillow(size, interpolation):
    # Levels far from black and white: where bicubic is cut off, the order of its passes shows; Pillow 13 chooses it by size.
    noise = np.random.default_rng(0).integers(80, 176, (64, 48, 3), dtype=np.uint8)
    resize = transforms.Resize(size, interpolation)
    for photo in (Image.fromarray(noise), load_image(jpeg((200, 30, 60), 0, size=300)), Image.new("RGB", (1, 1), "red")):
        ours, theirs = ResizePixels(resize)(photo), resize(photo)
        assert ours.size == theirs.size and ours.mode == "RGB"
        assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1
