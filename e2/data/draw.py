"""Order in which training shows products, of one catalogue or of several with weights: a function of (seed, epoch) alone.

Each catalogue is an endless row of turns, each a fresh permutation of its products. An epoch takes the next piece of each row
and mixes the pieces evenly. So all products of a catalogue are drawn equally often, give or take one, and one of them twice in
a batch only if a turn ends within it. With replacement each place of the row is a draw of its own among all products.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from e2.data.remote_shards import RemoteShard


@dataclass(frozen=True, eq=False)
class ShardOrder:
    """Turns through more shards than there is room for, a few of which are open at a time.

    The shards of a turn are shuffled. Products are drawn at random from all open ones; as one ends, the next one joins. At the
    beginning and at the end of a turn shards share their parts, so that as many are open there.
    """

    shards: np.ndarray  # (products,) number of each product's shard
    files: Sequence["RemoteShard"]
    open_ones: int

    def turn(self, draw: np.random.Generator) -> np.ndarray:
        """Order of the products in a turn, (products,), each once."""
        numbers, own = np.unique(self.shards, return_inverse=True)
        place = draw.permutation(len(numbers))[own]  # of each product's shard in the turn
        width = min(self.open_ones, len(numbers))
        opens, ends = np.maximum(0, place - width + 1), np.minimum(place + 1, len(numbers) - width + 1)
        return np.argsort(opens + draw.random(len(own)) * (ends - opens), kind="stable")


@dataclass(frozen=True)
class Portion:
    """One of the catalogues that are trained on."""

    size: int  # products
    weight: float = 1.0  # times that an epoch shows each of them, on average
    replacement: bool = False  # each place is drawn among all products, whatever was shown before
    order: ShardOrder | None = None  # of each turn; None: any

    @property
    def shown(self) -> int:
        """Products of it in an epoch."""
        return max(1, round(self.weight * self.size))


def epoch_order(portions: Sequence[Portion], seed: int, epoch: int) -> np.ndarray:
    """Turn and product of each place of an epoch, (places, 2); products are numbered through all portions."""
    rows, places, offset = [], [], 0
    jitter = np.random.default_rng((seed, epoch, len(portions)))
    for number, portion in enumerate(portions):
        row = _row(portion, number, seed, range(epoch * portion.shown, (epoch + 1) * portion.shown))
        rows.append(row + [0, offset])
        places.append((np.arange(portion.shown) + jitter.random(portion.shown)) / portion.shown)
        offset += portion.size
    return np.concatenate(rows)[np.argsort(np.concatenate(places), kind="stable")]


def _row(portion: Portion, number: int, seed: int, span: range) -> np.ndarray:
    """Turn and product of a span of a portion's endless row of turns, (length, 2)."""
    if portion.replacement:  # a turn each, so that a product drawn again is seen in another view
        drawn = np.random.default_rng((seed, span.start, number, portion.size)).integers(portion.size, size=len(span))
        return np.stack([np.arange(span.start, span.stop), drawn], axis=1)
    pieces = []
    for turn in range(span.start // portion.size, -(-span.stop // portion.size)):
        draw = np.random.default_rng((seed, turn, number))
        order = draw.permutation(portion.size) if portion.order is None else portion.order.turn(draw)
        order = order[max(0, span.start - turn * portion.size) : span.stop - turn * portion.size]
        pieces.append(np.stack([np.full(len(order), turn), order], axis=1))
    return np.concatenate(pieces)
