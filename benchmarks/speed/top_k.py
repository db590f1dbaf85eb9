"""Times our exact blockwise search against FAISS's flat index on the same vectors, with equal hits, for `e2 speed top-k`."""

import numpy as np
import torch

from e2.adapters.composed.top_k import search
from e2.benchmarks.speed.harness import compare, use_threads
from e2.extras import extra


def run(
    *, vectors: int = 1_000_000, width: int = 512, queries: int = 100, top_k: int = 100, repeats: int = 5, threads: int = 0
) -> dict:
    """Returns `compare`'s ratio (ours / FAISS) of ``queries`` searched together, with ``threads`` or torch's number for both.

    A million vectors of 512 take 2 GB, and FAISS's copy as much again.
    """
    with extra("search", "this measurement"):
        import faiss

    use_threads(threads or torch.get_num_threads())
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((vectors, width), dtype=np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    asked = rng.standard_normal((queries, width), dtype=np.float32)
    index = faiss.IndexFlatIP(width)
    index.add(gallery)
    measured = compare(lambda: search(asked, gallery, top_k), lambda: index.search(asked, top_k), repeats)
    scores, rows = search(asked, gallery, top_k)
    expected, theirs = index.search(asked, top_k)
    if not np.allclose(scores, expected, atol=1e-4) or (rows == theirs).mean() < 0.999:
        raise RuntimeError("our hits differ from FAISS's")
    return measured
