"""DeCap's support memory: projects image embeddings to weighted sums of text embeddings, and finds the nearest text.

Source: DeCap (arXiv 2303.03032). The projection is attention whose keys and values are both the memory, so PyTorch's fused
kernel computes it without materialising all weights.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from e2.errors import InputError

IMAGES = 1024  # per call of the kernel
FLOATS = 1 << 24  # rows of a half-precision memory widened at a time (64 MiB)
TEMPERATURE = 1 / 100


def project(images: Tensor, memory: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """softmax(images @ memory.T / temperature) @ memory, L2-normalised.

    Args:
        images: (N, D) float32, L2-normalised.
        memory: (M, D) float32 or float16, L2-normalised; float16 is widened in parts and accumulated in float32.
        temperature: smaller is nearer to the nearest text.
    """
    if temperature <= 0:
        raise InputError(f"temperature {temperature} of the memory must be above 0")
    if images.shape[1] != memory.shape[1]:
        raise InputError(f"the image embeddings have {images.shape[1]} components, the memory {memory.shape[1]}")
    parts = [_project(images[start : start + IMAGES], memory, 1 / temperature) for start in range(0, len(images), IMAGES)]
    return F.normalize(torch.cat(parts), dim=-1) if parts else images


def _project(images: Tensor, memory: Tensor, scale: float) -> Tensor:
    """Calls the kernel once if the memory is float32; else once per part, joined by each part's share of the softmax."""
    if memory.dtype == torch.float32:
        return _attend(images, memory, scale)
    total, log_weight = torch.zeros_like(images), images.new_full((len(images), 1), -torch.inf)
    for part in _widened(memory):
        log_part = _log_sum_exp(images, part, scale)
        joined = torch.logaddexp(log_weight, log_part)
        total = total * (log_weight - joined).exp() + _attend(images, part, scale) * (log_part - joined).exp()
        log_weight = joined
    return total


def _attend(images: Tensor, memory: Tensor, scale: float) -> Tensor:
    return F.scaled_dot_product_attention(images[None, None], memory[None, None], memory[None, None], scale=scale)[0, 0]


def _log_sum_exp(images: Tensor, memory: Tensor, scale: float) -> Tensor:
    """Log (N, 1) of the softmax's denominator, which the kernel does not return."""
    rows = max(1, FLOATS // max(len(images), 1))
    blocks = [(scale * images @ part.T).logsumexp(dim=1, keepdim=True) for part in memory.split(rows)]
    return torch.cat(blocks, dim=1).logsumexp(dim=1, keepdim=True)


def _widened(memory: Tensor) -> Iterator[Tensor]:
    for part in memory.split(max(1, FLOATS // memory.shape[1])):
        yield part.float()


def nearest(images: Tensor, memory: Tensor) -> np.ndarray:
    """Index (N,) of the memory's nearest text; ties go to the first. The control of every captioner (CLIPRe)."""
    best = images.new_full((len(images),), -torch.inf)
    index = torch.zeros(len(images), dtype=torch.long, device=images.device)
    start = 0
    for part in memory.split(max(1, FLOATS // max(memory.shape[1], len(images)))):
        similarity, row = (images @ part.float().T).max(dim=1)
        index = torch.where(similarity > best, row + start, index)
        best, start = torch.maximum(best, similarity), start + len(part)
    return index.cpu().numpy()
