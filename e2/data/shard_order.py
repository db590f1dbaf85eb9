"""Orders a training whose shards don't all fit in their room."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.draw import ShardOrder
from e2.data.product import Catalogue
from e2.data.remote_shards import RemoteShard
from e2.data.shards import TarImages

OPEN = 16  # shards at a time: more mix the products no better, and all of them have to come before the first step


def shard_order(catalogue: Catalogue, of: int = 1) -> ShardOrder | None:
    """Order of turns through a catalogue, one ``of`` so many that share the room for shards; None if all of its own fit.

    Open ones take half of its room at most: those of the next turn come while the last ones of this turn are still read.
    """
    if isinstance(catalogue, Subset):
        whole = shard_order(catalogue.catalogue, of)
        return whole and replace(whole, shards=whole.shards[np.asarray(catalogue.indices)])
    if not isinstance(catalogue, ArrowCatalogue) or not isinstance(catalogue.images, TarImages):
        return None
    files = [shard for shard in catalogue.images.shards if isinstance(shard, RemoteShard)]
    if not files or files[0].bound is None:
        return None
    sizes, room = [shard.note.size for shard in files], files[0].bound // of
    if sum(sizes) <= room:
        return None
    shards = np.concatenate([_first_shards(chunk) for chunk in catalogue.table.column("images").chunks])
    own = shards if catalogue.rows is None else shards[catalogue.rows]
    return ShardOrder(own, files, min(OPEN, max(1, room // 2 // max(sizes))))


def _first_shards(cells: pa.ListArray) -> np.ndarray:
    """Shard of each row's photos, (rows,)."""
    shards = np.asarray(cells.values.field("shard"))
    return np.append(shards, 0)[np.asarray(cells.offsets)[:-1]]  # 0: of a row without photos, at the end


def few_shards_first(catalogue: Catalogue, order: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Puts products of one shard together in an order of which the first are held out, so that validation reads few shards.

    Only if there is no room for all shards.
    """
    if (found := shard_order(catalogue)) is None:
        return order
    rank = draw.permutation(len(found.files))
    return order[np.argsort(rank[found.shards[order]], kind="stable")]
