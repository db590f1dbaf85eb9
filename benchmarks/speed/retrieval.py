"""Times recalls both ways over a full gallery against the bare product of the same blocks, for `e2 speed retrieval`."""

from typing import Any

import torch
from torch import Tensor

from e2.benchmarks.speed.harness import compare, nothing, peak_memory, random_unit, work_on_features
from e2.ranks import BLOCK, cross_modal_ranks


def run(*, products: int = 100_000, width: int = 512, repeats: int = 1, seed: int = 0) -> dict[str, Any]:
    """Times products x products cosines, and measures the memory of ranking beyond the features.

    There is no warm-up: one round of the full size takes minutes.

    Returns:
        The result of `harness.compare`; ``beyond_features_bytes``, the peak of a process that ranks minus that of one that
        only makes the features, and ``reference_beyond_features_bytes``; ``features_bytes``, their own.
    """
    torch.manual_seed(seed)
    timed = compare_on(random_unit(products, width), random_unit(products, width), repeats)
    sizes = products, products, width, torch.get_num_threads()
    made, ranked, multiplied = (peak_memory(work_on_features, work, *sizes) for work in (nothing, rank, bare_product))
    return {
        **timed,
        "beyond_features_bytes": ranked - made,
        "reference_beyond_features_bytes": multiplied - made,
        "features_bytes": 2 * products * width * 4,
    }


def compare_on(images: Tensor, texts: Tensor, repeats: int) -> dict[str, float]:
    """Compares both on these features, which are freed afterwards."""
    return compare(lambda: rank(images, texts), lambda: bare_product(images, texts), repeats, warm_up=False)


def rank(images: Tensor, texts: Tensor) -> None:
    """Ranks the features as `e2 evaluate retrieval` does; text i belongs to image i modulo their number."""
    rows = torch.arange(len(images))
    for ranks in cross_modal_ranks(images, texts, rows, torch.arange(len(texts)) % len(images)):
        ranks.hits()


def bare_product(images: Tensor, texts: Tensor) -> None:
    """Computes every block of scores, and ignores them."""
    for rows in images.split(BLOCK[0]):
        for columns in texts.split(BLOCK[1]):
            rows @ columns.T  # noqa: B018
