"""Cross-modal retrieval: from features and ground truth to ranks, recalls and SumR. Pure functions, no model, no sorting.

Used for choosing checkpoints in training (``e2.training.validation``) and by every benchmark.

The rank of a query is that of its best positive. It is counted: scores are computed block by block and compared with that of
the query's best positive. One product serves both directions (rows are images, columns texts), and only one block is ever in
memory.

Ties. Two cosines within ``TIE_TOLERANCE`` of each other count as equal: float32 products of the same two vectors may differ in
the last bits with their place in a block. ``Ranks`` holds both bounds: *optimistic* counts the negatives that are strictly
better than the best positive, *pessimistic* those that are better or equal. The headline recall is the *expected* one, as if
ties were broken at random: with 2 better and 1 equal negative, R@3 counts half a hit. Reason: products with identical texts
are common in catalogues; the optimistic rank would give a collapsed encoder 100 %, the pessimistic one would make such texts
unfindable, and sorting gives the expected value plus noise.

Protocols after FAME-ViL (full gallery with product ids as ground truth, `RecallAtK_general`; sampled candidates,
`RecallAtK_kaleido`) and CLIP_benchmark (a hit is *any* positive in the top k).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from e2.errors import InputError
from e2.finite import require_finite

KS = (1, 5, 10)
TIE_TOLERANCE = 1e-6  # of a cosine; several times the rounding error of float32 dot products of unit vectors
TIE_POLICY = f"expected recall under random order of ties; ties are cosines within {TIE_TOLERANCE}"
BLOCK = (1024, 4096)  # images x texts: 16 MB of scores, small enough for a CPU's cache, large enough for its gemm
MANY_PAIRS = 16_384  # with more positives than this in a block, its whole product costs less memory than gathering them


@dataclass(frozen=True)
class Ranks:
    """Number of negatives ranked before each query's best positive; 0 is the top.

    Attributes:
        optimistic: (Q,) int64, negatives strictly better.
        pessimistic: (Q,) int64, negatives better or equal.
    """

    optimistic: Tensor
    pessimistic: Tensor

    def hits(self, ks: Sequence[int] = KS) -> Tensor:
        """(Q, K) float64: the probability that the best positive is among the top k, ties in random order.

        Example:
            >>> Ranks(torch.tensor([2]), torch.tensor([3])).hits([1, 3, 4])
            tensor([[0.0000, 0.5000, 1.0000]], dtype=torch.float64)
        """
        k = torch.tensor(ks, dtype=torch.float64, device=self.optimistic.device)
        places = (self.pessimistic - self.optimistic + 1)[:, None]  # the positive may take any of these ranks
        return ((k - self.optimistic[:, None]) / places).clamp(0, 1)


def recalls(ranks: Ranks, ks: Sequence[int] = KS) -> dict[int, float]:
    """k -> R@k in percent, over all queries."""
    return dict(zip(ks, (100 * ranks.hits(ks).mean(dim=0)).tolist(), strict=True))


def retrieval_metrics(image_to_text: dict[int, float], text_to_image: dict[int, float]) -> dict[str, float]:
    """Names the recalls of both directions and adds SumR, the sum of all of them (0 to 600 for three ks)."""
    metrics = {f"image_to_text_R@{k}": value for k, value in image_to_text.items()}
    metrics |= {f"text_to_image_R@{k}": value for k, value in text_to_image.items()}
    return {**metrics, "SumR": sum(metrics.values())}


def cross_modal_ranks(
    images: Tensor,
    texts: Tensor,
    image_groups: Tensor,
    text_groups: Tensor,
    *,
    block: tuple[int, int] = BLOCK,
) -> tuple[Ranks, Ranks]:
    """Ranks of both directions over the full gallery, by cosine.

    Args:
        images: (I, D) features of any scale.
        texts: (T, D) features.
        image_groups: (I,) integer ids, on the device of the features; an image and a text of equal id are positives.
        text_groups: (T,) integer ids.
        block: images x texts per block.

    Returns:
        image -> text ranks of the I images, text -> image ranks of the T texts.

    Raises:
        InputError: features that are not finite, or a query without any positive.
    """
    blocks = _Blocks(_Unit(images, "image"), _Unit(texts, "text"), image_groups, text_groups, block)
    best_text, best_image = _best_positives(blocks)
    _require_positives(best_text, "images")
    _require_positives(best_image, "texts")
    image_counts, text_counts = _Counts(best_text), _Counts(best_image)
    for rows, cols, negatives, scratch in blocks.negatives():
        image_counts.add(rows, negatives, 1, scratch)
        text_counts.add(cols, negatives, 0, scratch)
    return image_counts.ranks(), text_counts.ranks()


def query_ranks(
    queries: Tensor,
    gallery: Tensor,
    query_groups: Tensor,
    gallery_groups: Tensor,
    *,
    block: tuple[int, int] = BLOCK,
) -> Ranks:
    """Ranks of one direction of :func:`cross_modal_ranks`; the gallery may hold items that no query asks for.

    Args:
        queries: (Q, D) features of any scale.
        gallery: (G, D) features.
        query_groups: (Q,) integer ids; each occurs in the gallery.
        gallery_groups: (G,) integer ids; equal ones are positives.
        block: as there.

    Raises:
        InputError: features that are not finite, or a query without any positive.
    """
    blocks = _Blocks(_Unit(queries, "query"), _Unit(gallery, "gallery"), query_groups, gallery_groups, block)
    best, _ = _best_positives(blocks)
    _require_positives(best, "queries")
    counts = _Counts(best)
    for rows, _, negatives, scratch in blocks.negatives():
        counts.add(rows, negatives, 1, scratch)
    return counts.ranks()


def candidate_ranks(queries: Tensor, gallery: Tensor, query_rows: Tensor, candidates: Tensor) -> Ranks:
    """Ranks within short candidate lists, by cosine.

    Args:
        queries: (N, D) features of any scale.
        gallery: (M, D) features.
        query_rows: (Q,) rows of ``queries``.
        candidates: (Q, 1 + C) rows of ``gallery``: the positive first, then the negatives; -1 where a list is shorter.

    Raises:
        InputError: features that are not finite.
    """
    asked, listed = _Unit(queries, "query"), _Unit(gallery, "gallery")
    optimistic, pessimistic = [], []
    for rows, lists in zip(query_rows.split(256), candidates.split(256), strict=True):
        scores = torch.einsum("qd,qcd->qc", asked[rows], listed[lists])  # -1 reads the last row; masked below
        positive, negatives = scores[:, :1], scores[:, 1:].masked_fill(lists[:, 1:] < 0, -torch.inf)
        optimistic.append((negatives > positive + TIE_TOLERANCE).sum(dim=1))
        pessimistic.append((negatives >= positive - TIE_TOLERANCE).sum(dim=1))
    return Ranks(torch.cat(optimistic), torch.cat(pessimistic))


class _Unit:
    """Unit-length float32 rows of (N, D) features, made on demand: a normalised copy would double the memory.

    Raises:
        NotFinite: features that are not finite.
    """

    def __init__(self, features: Tensor, what: str):
        self.features = features
        lengths = [torch.linalg.vector_norm(rows.float(), dim=-1, keepdim=True) for rows in features.split(BLOCK[1])]
        self.lengths = torch.cat(lengths)  # (N, 1), not finite where any component is not
        require_finite(self.lengths, f"{what} features")
        self.lengths.clamp_(min=1e-12)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.features[rows].float() / self.lengths[rows]

    def like(self, value: float) -> Tensor:
        """(N,) filled with one value."""
        return torch.full_like(self.lengths[:, 0], value)


class _Blocks:
    """Score matrix of two sides, a block at a time, with the positive pairs of each block."""

    def __init__(self, queries: _Unit, gallery: _Unit, query_groups: Tensor, gallery_groups: Tensor, block: tuple[int, int]):
        self.queries, self.gallery, self.query_groups = queries, gallery, query_groups
        self.row_blocks = [slice(start, start + block[0]) for start in range(0, len(queries), block[0])]
        col_blocks = [slice(start, start + block[1]) for start in range(0, len(gallery), block[1])]
        # For each block of columns: its ids and their original positions.
        self.col_blocks = [(cols, *gallery_groups[cols].sort()) for cols in col_blocks]
        self.size = min(block[0], len(queries)) * min(block[1], len(gallery))

    def positives(self) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
        """Yields (row slice, column slice, row and column of each positive pair), counted from the block's corner."""
        for rows in self.row_blocks:
            wanted = self.query_groups[rows]
            for cols, groups, places in self.col_blocks:
                start = torch.searchsorted(groups, wanted)
                count = torch.searchsorted(groups, wanted, right=True) - start
                row = torch.repeat_interleave(count)  # each row as often as it has positives here
                nth = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
                yield rows, cols, row, places[start[row] + nth]

    def negatives(self) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
        """Yields (row slice, column slice, cosines with -inf for positives, scratch space of the same shape)."""
        buffer = self.queries.lengths.new_empty(self.size)
        for rows, cols, row, col in self.positives():
            scores = self.queries[rows] @ self.gallery[cols].T  # (b, g)
            scores[row, col] = -torch.inf  # positives never compete with each other
            yield rows, cols, scores, buffer[: scores.numel()].view_as(scores)


def _best_positives(blocks: _Blocks) -> tuple[Tensor, Tensor]:
    """Cosine of the best positive of each query (Q,) and gallery row (G,); -inf if there is none."""
    queries, gallery = blocks.queries, blocks.gallery
    best_of_query, best_of_row = queries.like(-torch.inf), gallery.like(-torch.inf)
    for rows, cols, row, col in blocks.positives():
        if len(row) > MANY_PAIRS:
            scores = (queries[rows] @ gallery[cols].T)[row, col]
        else:
            scores = (queries[rows][row] * gallery[cols][col]).sum(dim=-1)
        best_of_query[rows].scatter_reduce_(0, row, scores, "amax")
        best_of_row[cols].scatter_reduce_(0, col, scores, "amax")
    return best_of_query, best_of_row


def _require_positives(best: Tensor, what: str) -> None:
    lonely = int((best == -torch.inf).sum())
    if lonely:
        raise InputError(f"{lonely} of {len(best)} {what} have no positive on the other side; leave them out")


class _Counts:
    """Counts, over the blocks, negatives better than and equal to each query's best positive."""

    def __init__(self, best: Tensor):
        self.clearly_better = best + TIE_TOLERANCE
        self.at_least_equal = best - TIE_TOLERANCE
        self.optimistic = torch.zeros(len(best), dtype=torch.int64, device=best.device)
        self.pessimistic = torch.zeros_like(self.optimistic)

    def add(self, queries: slice, scores: Tensor, gallery_dim: int, outcome: Tensor) -> None:
        """Adds one block. ``outcome`` is scratch space of its shape: 0/1 in float32 sums far faster than bool on a CPU."""
        above = self.clearly_better[queries].unsqueeze(gallery_dim)
        self.optimistic[queries] += torch.gt(scores, above, out=outcome).sum(gallery_dim).long()
        equal = self.at_least_equal[queries].unsqueeze(gallery_dim)
        self.pessimistic[queries] += torch.ge(scores, equal, out=outcome).sum(gallery_dim).long()

    def ranks(self) -> Ranks:
        return Ranks(self.optimistic, self.pessimistic)
