"""Cross-modal retrieval: from features and ground truth to ranks, recalls and SumR. Pure functions, no model, no sorting.

The rank of a query is that of its best positive. It is found by counting: the gallery is multiplied block by block and each
score compared with the score of the query's best positive. One product serves both directions (rows are images, columns
texts), and no more than one block of it is ever in memory.

Ties. Two cosines within ``TIE_TOLERANCE`` of each other count as equal: float32 products of the same two vectors may differ
in the last bits with their place in a block. ``Ranks`` holds both bounds: *optimistic* counts the negatives that are strictly
better than the best positive, *pessimistic* those that are better or equal. The headline recall is the *expected* one, as if
ties were broken at random: with 2 better and 1 equal negative, R@3 counts half a hit. Why this one: identical texts of two
products are common in catalogues; the optimistic rank would reward a collapsed encoder with 100 %, the pessimistic one would
make such texts unfindable for any encoder, and what sorting gives is the expected value plus chance.

Protocols after FAME-ViL (full gallery with product ids as ground truth, `RecallAtK_general`; sampled candidates,
`RecallAtK_kaleido`) and CLIP_benchmark (a hit is *any* positive in the top k).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from e2.errors import InputError

KS = (1, 5, 10)
TIE_TOLERANCE = 1e-6  # of a cosine; several times the rounding error of float32 dot products of unit vectors
TIE_POLICY = f"expected recall under random order of ties; ties are cosines within {TIE_TOLERANCE}"
BLOCK = (1024, 4096)  # images x texts: 16 MB of scores, small enough for a CPU's cache, large enough for its gemm
MANY_PAIRS = 16_384  # more positives than this in one block: its whole product costs less memory than gathering them


@dataclass(frozen=True)
class Ranks:
    """Per query, how many negatives come before the best positive; 0 is the top.

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
        places = (self.pessimistic - self.optimistic + 1)[:, None]  # the positive may stand on any of them
        return ((k - self.optimistic[:, None]) / places).clamp(0, 1)


def recalls(ranks: Ranks, ks: Sequence[int] = KS) -> dict[int, float]:
    """k -> R@k in percent, over all queries."""
    return dict(zip(ks, (100 * ranks.hits(ks).mean(dim=0)).tolist(), strict=True))


def retrieval_metrics(image_to_text: dict[int, float], text_to_image: dict[int, float]) -> dict[str, float]:
    """The named metrics of both directions and SumR, the sum of all of them (0 to 600 for three ks)."""
    metrics = {f"image_to_text_R@{k}": value for k, value in image_to_text.items()}
    metrics |= {f"text_to_image_R@{k}": value for k, value in text_to_image.items()}
    return {**metrics, "SumR": sum(metrics.values())}


def cross_modal_ranks(
    images: Tensor,
    texts: Tensor,
    image_groups: Tensor,
    text_groups: Tensor,
    *,
    tolerance: float = TIE_TOLERANCE,
    block: tuple[int, int] = BLOCK,
) -> tuple[Ranks, Ranks]:
    """Ranks of both directions over the full gallery, by cosine.

    Args:
        images: (I, D) features of any scale.
        texts: (T, D) features.
        image_groups: (I,) integer ids, on the device of the features; an image and a text of equal id are positives.
        text_groups: (T,) integer ids.
        tolerance: cosines this close are tied.
        block: images x texts multiplied at a time.

    Returns:
        image -> text ranks of the I images, text -> image ranks of the T texts.

    Raises:
        InputError: features that are not finite, or a query without any positive.
    """
    rows_of, cols_of = _Unit(images, "image"), _Unit(texts, "text")
    row_blocks = [slice(start, start + block[0]) for start in range(0, len(images), block[0])]
    col_blocks = [slice(start, start + block[1]) for start in range(0, len(texts), block[1])]
    positives = _Positives(image_groups, text_groups, row_blocks, col_blocks)
    best_text, best_image = _best_positives(rows_of, cols_of, positives)

    image_counts = _Counts(best_text, tolerance)
    text_counts = _Counts(best_image, tolerance)
    buffer = best_text.new_empty(min(block[0], len(images)) * min(block[1], len(texts)))
    for rows, cols, row, col in positives:
        scores = rows_of[rows] @ cols_of[cols].T  # (b, t)
        scores[row, col] = -torch.inf  # positives never stand in each other's way
        outcome = buffer[: scores.numel()].view_as(scores)
        image_counts.add(rows, scores, 1, outcome)
        text_counts.add(cols, scores, 0, outcome)
    return image_counts.ranks(), text_counts.ranks()


def candidate_ranks(
    queries: Tensor, gallery: Tensor, query_rows: Tensor, candidates: Tensor, *, tolerance: float = TIE_TOLERANCE
) -> Ranks:
    """Ranks within short candidate lists, by cosine.

    Args:
        queries: (N, D) features of any scale.
        gallery: (M, D) features.
        query_rows: (Q,) rows of ``queries``.
        candidates: (Q, 1 + C) rows of ``gallery``: the positive first, then the negatives; -1 where a list is shorter.
        tolerance: cosines this close are tied.
    """
    asked, listed = _Unit(queries, "query"), _Unit(gallery, "gallery")
    optimistic, pessimistic = [], []
    for rows, lists in zip(query_rows.split(256), candidates.split(256), strict=True):
        scores = torch.einsum("qd,qcd->qc", asked[rows], listed[lists])  # -1 reads the last row; masked below
        positive, negatives = scores[:, :1], scores[:, 1:].masked_fill(lists[:, 1:] < 0, -torch.inf)
        optimistic.append((negatives > positive + tolerance).sum(dim=1))
        pessimistic.append((negatives >= positive - tolerance).sum(dim=1))
    return Ranks(torch.cat(optimistic), torch.cat(pessimistic))


class _Unit:
    """(N, D) features read as float32 rows of length 1, made when asked for: a normalised copy would take their memory again.

    Raises:
        InputError: features that are not finite. A NaN must not get through: it compares as worse than everything.
    """

    def __init__(self, features: Tensor, what: str):
        self.features = features
        lengths = [torch.linalg.vector_norm(rows.float(), dim=-1, keepdim=True) for rows in features.split(BLOCK[1])]
        self.lengths = torch.cat(lengths)  # (N, 1), not finite where any component is not
        broken = int((~self.lengths.isfinite()).sum())
        if broken:
            raise InputError(f"{broken} of {len(features)} {what} features are not finite; check the weights and --precision")
        self.lengths.clamp_(min=1e-12)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: slice | Tensor) -> Tensor:
        return self.features[rows].float() / self.lengths[rows]

    def like(self, value: float) -> Tensor:
        """(N,) of one value."""
        return torch.full_like(self.lengths[:, 0], value)


class _Positives:
    """The blocks of the score matrix, each with its positive pairs.

    Iterating yields (row slice, column slice, row of each pair, column of each pair), pairs counted from the block's corner.
    """

    def __init__(self, row_groups: Tensor, col_groups: Tensor, row_blocks: list[slice], col_blocks: list[slice]):
        self.row_groups, self.row_blocks, self.col_blocks = row_groups, row_blocks, col_blocks
        self.sorted_groups = [col_groups[cols].sort() for cols in col_blocks]  # ids, and where they stood

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
        for rows in self.row_blocks:
            wanted = self.row_groups[rows]
            for cols, (groups, places) in zip(self.col_blocks, self.sorted_groups, strict=True):
                start = torch.searchsorted(groups, wanted)
                count = torch.searchsorted(groups, wanted, right=True) - start
                row = torch.repeat_interleave(count)  # each row as often as it has positives here
                nth = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
                yield rows, cols, row, places[start[row] + nth]


def _best_positives(images: _Unit, texts: _Unit, positives: _Positives) -> tuple[Tensor, Tensor]:
    """(I,), (T,): the cosine of each query's best positive."""
    best_text, best_image = images.like(-torch.inf), texts.like(-torch.inf)
    for rows, cols, row, col in positives:
        if len(row) > MANY_PAIRS:
            scores = (images[rows] @ texts[cols].T)[row, col]
        else:
            scores = (images[rows][row] * texts[cols][col]).sum(dim=-1)
        best_text[rows].scatter_reduce_(0, row, scores, "amax")
        best_image[cols].scatter_reduce_(0, col, scores, "amax")
    for best, what in ((best_text, "images"), (best_image, "texts")):
        lonely = int((best == -torch.inf).sum())
        if lonely:
            raise InputError(f"{lonely} of {len(best)} {what} have no positive on the other side; leave them out")
    return best_text, best_image


class _Counts:
    """Counts, over the blocks, of the negatives better than and as good as each query's best positive."""

    def __init__(self, best: Tensor, tolerance: float):
        self.clearly_better = best + tolerance
        self.at_least_equal = best - tolerance
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
