"""Token-wise late interaction: FILIP (Yao et al., ICLR 2022, eq. 4 to 6).

A photo's similarity to a text is the mean over its patches of the best word's cosine; a text's to a photo is the mean over its
words of the best patch's. As in the paper, padding is left out, but start and end marks are not.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from e2.losses import WHOLE, OwnRows

# Patch-word cosines computed at a time; the backward pass holds about five such tensors. On a CPU a tile near the cache size
# is also the fastest (128 x 128 x 49 x 32: 0.7 s and 78 MB; at once 2.5 s and 470 MB); a GPU wants fewer launches.
CPU_TILE, GPU_TILE = 1 << 20, 1 << 24


def late_similarities(patches: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean best cosines from photo to text and from text to photo, each (B, T), in float32.

    The B x T x N x L cosines are computed in tiles of photos and texts, and again in the backward pass.

    Args:
        patches: (B, N, D), words: (T, L, D), neither normalised.
        mask: (T, L) true where there is a word; at least one per text.
    """
    with torch.autocast(patches.device.type, enabled=False):
        patches, words = F.normalize(patches.float(), dim=-1), F.normalize(words.float(), dim=-1)
        tile = CPU_TILE if patches.device.type == "cpu" else GPU_TILE
        side = max(1, math.isqrt(tile // (patches.shape[1] * words.shape[1])))
        rows = []
        for photos in patches.split(side):
            texts = zip(words.split(side), mask.split(side), strict=True)
            tiles = [checkpoint(_tile, photos, some, valid, use_reentrant=False) for some, valid in texts]
            rows.append(torch.cat(tiles, dim=2))  # (2, b, T)
        to_text, to_photo = torch.cat(rows, dim=1)
    return to_text, to_photo


def _tile(patches: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """Computes both similarities of a tile: unit features (b, N, D), (t, L, D), mask (t, L) -> (2, b, t)."""
    cosines = patches.flatten(0, 1) @ words.flatten(0, 1).T
    cosines = cosines.view(*patches.shape[:2], *mask.shape)  # (b, N, t, L)
    to_text = cosines.masked_fill(~mask, -torch.inf).amax(dim=3).mean(dim=1)  # over words, then patches
    best = cosines.amax(dim=1)  # (b, t, L), each word's best patch
    to_photo = (best * mask).sum(dim=2) / mask.sum(dim=1)
    return torch.stack([to_text, to_photo])


def late_interaction_loss(patches: Tensor, words: Tensor, mask: Tensor, scale: Tensor, part: OwnRows = WHOLE) -> Tensor:
    """Symmetric InfoNCE, each direction on its own similarity; photo i belongs to text i. Arguments as above, T = B.

    ``part``: photos and texts whose terms are computed here.
    """
    targets = torch.arange(len(patches), device=patches.device)
    if part.world > 1:
        to_text, _ = late_similarities(part.of(patches), words, mask)
        _, to_photo = late_similarities(patches, part.of(words), part.of(mask))
        sums = [F.cross_entropy(scale * x, part.of(targets), reduction="sum") for x in (to_text, to_photo.T)]
        return part.world * torch.stack(sums).sum() / (2 * len(patches))
    to_text, to_photo = late_similarities(patches, words, mask)
    return (F.cross_entropy(scale * to_text, targets) + F.cross_entropy(scale * to_photo.T, targets)) / 2
