"""Searches a gallery of any size exactly, block by block, in bounded memory."""

import numpy as np
import torch
from torch import Tensor

from e2.errors import InputError

BLOCK_SCORES = 1 << 25  # scores held at a time: 128 MiB of float32
QUERIES = 1024  # in one part: a block of the gallery is then never too narrow
GROUP = 64  # neighbouring scores grouped by their maximum


@torch.inference_mode()
def search(
    query_vectors: np.ndarray,
    gallery: np.ndarray,
    top_k: int,
    *,
    exclude: np.ndarray | None = None,
    device: str | torch.device = "cpu",
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the ``top_k`` largest inner products of each query with the gallery, exactly, best first.

    Args:
        query_vectors: (Q, D).
        gallery: (G, D); a memory-mapped array is read block by block.
        top_k: hits per query; a smaller gallery gives fewer.
        exclude: (Q,) gallery row to leave out for each query, e.g. its own reference; -1 = none.
        device: device for the computation.

    Returns:
        scores (Q, K) float32 and gallery rows (Q, K) int64, K = min(top_k, G). Hits of equal scores are ordered by row,
        and if not all fit the first are included, so that pages join to the whole; missing hits have score -inf and row -1.
    """
    _check(query_vectors, gallery, top_k)
    queries = torch.as_tensor(np.ascontiguousarray(query_vectors, dtype=np.float32), device=device)
    left_out = None if exclude is None else torch.as_tensor(np.asarray(exclude, dtype=np.int64), device=device)
    found = [_in_gallery(part, gallery, top_k, left) for part, left in _query_parts(queries, left_out)]
    scores, rows = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
    rows[np.isneginf(scores)] = -1
    return scores, rows


def _check(queries: np.ndarray, gallery: np.ndarray, top_k: int) -> None:
    if not len(gallery):
        raise InputError("the gallery is empty; there is nothing to search in")
    if top_k < 1:
        raise InputError(f"cannot return the best {top_k}; ask for 1 or more")
    if queries.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise InputError(f"queries of shape {queries.shape} do not fit a gallery of width {gallery.shape[1]}")
    if not np.isfinite(queries).all():
        raise InputError("a query's vector is not finite; check the weights and --precision")


def _query_parts(queries: Tensor, left_out: Tensor | None):
    """Yields queries, and the rows they leave out, in parts."""
    for start in range(0, len(queries), QUERIES):
        rows = slice(start, start + QUERIES)
        yield queries[rows], None if left_out is None else left_out[rows]


def _in_gallery(queries: Tensor, gallery: np.ndarray, top_k: int, left_out: Tensor | None) -> tuple[Tensor, Tensor]:
    """Keeps the running best over the blocks of the gallery."""
    size = max(GROUP, BLOCK_SCORES // max(1, len(queries)) // GROUP * GROUP)
    best_scores = queries.new_empty(len(queries), 0)
    best_rows = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start in range(0, len(gallery), size):
        block = _tensor(gallery[start : start + size])
        if not block.isfinite().all():
            raise InputError("the gallery holds vectors that are not finite; check the weights and --precision, make it again")
        scores = queries @ block.to(queries.device).T
        if left_out is not None:
            inside = ((left_out >= start) & (left_out < start + len(block))).nonzero().squeeze(1)
            scores[inside, left_out[inside] - start] = -torch.inf
        values, columns = largest(scores, top_k)
        best_scores, best_rows = torch.cat([best_scores, values], 1), torch.cat([best_rows, columns + start], 1)
        best_scores, best_rows = _ordered(best_scores, best_rows, top_k)
    return best_scores, best_rows


def _tensor(rows: np.ndarray) -> Tensor:
    """Makes a tensor, without a copy if possible; torch wants writable memory."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def largest(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Finds the ``top_k`` largest of each row (Q, B), of equal ones the first, in any order.

    All lie in the ``top_k`` groups of neighbours with the largest maxima, so that the costly selection sees only a small part
    of the scores.
    """
    count = scores.shape[1]
    groups = count // GROUP
    if top_k >= groups:
        return _first_largest(scores, min(top_k, count))
    whole = scores[:, : groups * GROUP].unflatten(1, (groups, GROUP))
    chosen = _first_largest(whole.amax(dim=2), top_k)[1].sort(dim=1).values  # (Q, K)
    columns = (chosen[:, :, None] * GROUP + torch.arange(GROUP, device=scores.device)).flatten(1)
    rest = torch.arange(groups * GROUP, count, device=scores.device).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    values, picked = _first_largest(scores.gather(1, columns), top_k)
    return values, columns.gather(1, picked)


def _first_largest(scores: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Same as ``torch.topk`` in any order, which leaves open which of equal scores it takes: here the first."""
    values, columns = scores.topk(top_k, sorted=False)
    least = values.amin(dim=1, keepdim=True)
    tied = (scores >= least).sum(dim=1) > top_k
    if tied.any():
        above, equal = scores[tied] > least[tied], scores[tied] == least[tied]
        wanted = above | (equal & (equal.cumsum(dim=1) <= top_k - above.sum(dim=1, keepdim=True)))
        columns[tied] = wanted.nonzero()[:, 1].view(-1, top_k)
        values = scores.gather(1, columns)
    return values, columns


def _ordered(scores: Tensor, rows: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """Orders the best, ties by row: two stable sorts over the few candidates."""
    order = rows.argsort(dim=1, stable=True)
    order = order.gather(1, scores.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, :top_k]
    return scores.gather(1, order), rows.gather(1, order)
