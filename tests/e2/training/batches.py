"""Random batches of products for tests of gradients."""

import torch
from torch import Tensor

from e2.batch import Batch
from e2.methods import Method
from tests.conftest import TAGS


def random_batch(method: Method, tokens: Tensor, count: int) -> Batch:
    """Some products with photos, texts and tags out of ``tokens`` (U, L), some tags missing, with the method's noise."""
    batch = Batch(
        torch.randn(count, 3, 32, 32),
        tokens,
        torch.randint(len(tokens), (count,)),
        torch.randint(-1, len(tokens), (count, len(TAGS))),
        torch.arange(len(tokens)),
    )
    batch.noise = method.draw_noise(count, torch.device("cpu"))
    return batch
