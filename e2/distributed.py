"""Lets several processes train one batch together, exactly as one process would.

Process r of W takes the products r, r + W, r + 2W, ... of a batch. Each encodes its own; the features are gathered with their
gradient (by open_clip's own gather). Every process then computes W times its part of the loss, its rows of the logits
(``e2.losses.OwnRows``), or the whole loss where that has no rows to share. Either way the mean over the processes of the
losses, and of the gradients, is that of one process.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, gather_object
from open_clip.loss import gather_features
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import functional as F

from e2.batch import Batch, Features
from e2.counting import counted
from e2.errors import InputError

T = TypeVar("T")


def processes(on_cpu: bool = False) -> PartialState:
    """Returns this process's rank and the number of processes that ``accelerate launch`` or ``torchrun`` started.

    The first call also connects them; ``on_cpu`` only counts then, and always holds without a GPU.

    Raises:
        InputError: more processes than GPUs; all but the first on a machine then exit silently with the same status.
    """
    if PartialState._shared_state:  # connected
        return PartialState()
    if on_cpu or not torch.cuda.is_available():  # without a GPU, accelerate would leave each process on its own
        return PartialState(cpu=True)
    started, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
    if started > gpus:
        if os.environ.get("LOCAL_RANK", "0") != "0":
            raise SystemExit(2)
        there = counted(gpus, "GPU")
        raise InputError(f"{started} processes were started on {there}; start no more than that, or choose --device cpu")
    return PartialState()


def gather_step(features: Features, batch: Batch) -> tuple[Features, Batch]:
    """Gathers the features and indices of the whole batch, with gradient.

    Args:
        features: of this process's products and texts.
        batch: of this process; its ``noise`` and ``images`` are not gathered.

    Returns:
        Features and batch as a single process would see them: products in order, each unique text once.
    """
    values = batch.value_index  # (b, E, V)
    own_sizes = [len(batch), len(batch.text_keys), values.shape[2]]
    sizes = gather(torch.tensor([own_sizes], device=batch.tokens.device))  # (W, 3)
    products, texts, most = sizes.T.tolist()
    images, text_features = _gather_features(features, batch, max(products), max(texts))
    own_texts = torch.cat([batch.text_keys[:, None], _same_length(batch.tokens[: len(batch.text_keys)])], dim=1)
    values = F.pad(values, (0, max(most) - values.shape[2]), value=-1)
    own_products = torch.cat([batch.text_index[:, None], values.flatten(1)], dim=1)
    all_texts = _filled(gather(_padded(own_texts, max(texts))), texts)
    all_products = gather(_padded(own_products, max(products)))
    first, place = first_of_each(all_texts[:, 0])
    starts = torch.tensor([0, *texts[:-1]], device=sizes.device).cumsum(0)  # each process's texts among all
    starts = starts.repeat_interleave(max(products))[:, None]
    index = torch.where(all_products < 0, -1, place[(all_products.clamp(min=0) + starts).clamp(max=len(place) - 1)])
    index, order = by_appearance(interleaved(index, products))
    first = first[order]
    tags = index[:, 1:].unflatten(1, values.shape[1:])
    tags = tags.squeeze(-1) if values.shape[2] == 1 else tags
    whole = Batch(batch.images, all_texts[first, 1:], index[:, 0], tags, all_texts[first, 0])
    rows = {name: interleaved(tensor, products) for name, tensor in images.items()}
    return Features(rows, {name: _filled(tensor, texts)[first] for name, tensor in text_features.items()}), whole


def _gather_features(features: Features, batch: Batch, products: int, texts: int) -> tuple[dict[str, Tensor], ...]:
    """Gathers all processes' features (``products`` and ``texts`` rows of each) in one call."""
    own_texts = {name: tensor[: len(batch.text_keys)] for name, tensor in features.texts.items()}
    image_rows, image_shapes = _flat(features.images, products)
    text_rows, text_shapes = _flat(own_texts, texts)
    state = processes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PyTorch has a newer collective than open_clip's
        all_images, all_texts = gather_features(
            image_rows, text_rows, gather_with_grad=True, rank=state.process_index, world_size=state.num_processes
        )
    return _unflat(all_images, image_shapes), _unflat(all_texts, text_shapes)


def _flat(features: dict[str, Tensor], rows: int) -> tuple[Tensor, dict[str, torch.Size]]:
    """Joins features into one float32 matrix (rows, K); also returns the shape of each feature's row."""
    matrix = torch.cat([tensor.float().flatten(1) for tensor in features.values()], dim=1)
    return _padded(matrix, rows), {name: tensor.shape[1:] for name, tensor in features.items()}


def _unflat(matrix: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    parts = matrix.split([shape.numel() for shape in shapes.values()], dim=1)
    return {name: part.unflatten(1, shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}


def _padded(rows: Tensor, length: int) -> Tensor:
    """Pads (b, K) to (length, K): gathers take equal shapes only."""
    return F.pad(rows, (0, 0, 0, length - len(rows)))


def _same_length(tokens: Tensor) -> Tensor:
    """Pads (U, L) to the longest text of any process."""
    longest = int(gather(torch.tensor([tokens.shape[1]], device=tokens.device)).max())
    return F.pad(tokens, (0, longest - tokens.shape[1]))


def _filled(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """Keeps the filled rows of (W * m, ...), of which process r filled ``counts[r]``."""
    return torch.cat([part[:count] for part, count in zip(rows.chunk(len(counts)), counts, strict=True)])


def interleaved(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """(W * m, ...) of which process r filled ``counts[r]``, with every W-th row of the whole -> the whole, in order."""
    whole = rows.unflatten(0, (len(counts), -1)).transpose(0, 1).flatten(0, 1)
    return whole[: sum(counts)]


def first_of_each(keys: Tensor) -> tuple[Tensor, Tensor]:
    """(U,) -> the first row of each different key (V,), and for every row the place of its key among these (U,)."""
    unique, place = keys.unique(return_inverse=True)
    rows = torch.arange(len(keys), device=keys.device)
    first = torch.full((len(unique),), len(keys), device=keys.device).scatter_reduce(0, place, rows, "amin")
    return first, place


def by_appearance(index: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers texts as ``Collate`` does: descriptions in the products' order, then tags; so does a loss that looks at order.

    Args:
        index: (B, 1 + E) text of each product's description and tags; -1 = missing. Every text is named.

    Returns:
        The same under the new numbers, and the old number of each new one.
    """
    named = torch.cat([index[:, 0], index[:, 1:].flatten()])
    appeared, _ = first_of_each(named[named >= 0])
    order = appeared.argsort()
    return torch.where(index < 0, -1, order.argsort()[index]), order


def shared_means(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means of scalars over the processes, by name, without gradient and without a wait for the device."""
    rows = torch.stack([value.detach().float() for value in values.values()])
    dist.all_reduce(rows)
    return dict(zip(values, rows / dist.get_world_size(), strict=True))


def own_shard(tensor: Tensor) -> Tensor:
    """This process's shard of a sharded tensor (FSDP), which shares its memory; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def own_rows(total: int) -> range:
    """Rows that this process works on: every W-th one."""
    state = processes()
    return range(state.process_index, total, state.num_processes)


def shared_batches(total: int, batch_size: int, *, alone: bool = False) -> Iterator[tuple[range, int]]:
    """Batches of W * ``batch_size`` rows in order: (the rows of it that this process takes, the batch's size).

    ``alone``: this process takes all rows. A process for which a short last batch has no row takes the first: it must know the
    features' shape.
    """
    rank, world = (0, 1) if alone else (processes().process_index, processes().num_processes)
    for start in range(0, total, batch_size * world):
        size = min(batch_size * world, total - start)
        own = range(start + rank, start + size, world)
        yield own or range(start, start + 1), size


def gather_rows(rows: Tensor, total: int) -> Tensor:
    """Gathers every process's rows, each W-th of ``total``, in order on all of them: (b, ...) -> (total, ...)."""
    world = processes().num_processes
    if world == 1:
        return rows
    counts = [len(range(rank, total, world)) for rank in range(world)]
    matrix = rows[: counts[processes().process_index]].reshape(-1, rows.shape[1:].numel())
    whole = interleaved(gather(_padded(matrix, max(counts))), counts)
    return whole.reshape(total, *rows.shape[1:])


def any_of(flag: bool, device: torch.device) -> bool:
    """True if the flag is raised in any process."""
    if processes().num_processes == 1:
        return flag
    return bool(gather(torch.tensor([flag], device=device)).any())


def all_of(flag: bool) -> bool:
    """True if the flag is raised in every process."""
    return flag if processes().num_processes == 1 else all(gather_object([flag]))


def by_parts(total: int, work: Callable[[range], list[T]]) -> list[T]:
    """Has each process work on its part of ``range(total)``, rows side by side; all get what all found, in order."""
    state = processes()
    size = -(-total // state.num_processes)
    first = min(total, state.process_index * size)
    found = work(range(first, min(total, first + size)))
    return found if state.num_processes == 1 else gather_object(found)


def as_on_main(value: Any) -> Any:
    """Returns the main process's value in every process."""
    return value if processes().num_processes == 1 else broadcast_object_list([value])[0]


def on_main(action: Callable[[], object]) -> None:
    """Does something in the main process while the others wait.

    Raises:
        InputError: the action did; the other processes then exit silently with the same status.
    """
    error = None
    if processes().is_main_process:
        try:
            action()
        except InputError as raised:
            error = raised
    failed = as_on_main(error is not None)
    if error is not None:
        raise error
    if failed:
        raise SystemExit(2)
