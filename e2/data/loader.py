"""Training batches: any step's batch follows from (seed, step) alone.

Order, choice of photo and caption, and augmentation are functions of (seed, turn, product), independent of the number of
workers and of earlier steps. So a resumed run continues bit for bit without stored random state.
"""

import copy
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from e2.activations import Photos
from e2.batch import Batch
from e2.data.device_views import stack_views
from e2.data.draw import Portion, epoch_order
from e2.data.images import BadImage
from e2.data.lost import LostPhoto, LostPhotos, lost_photo
from e2.data.photo_views import PhotoViews
from e2.data.product import Catalogue, Product, tag_text
from e2.data.seeds import drawing_from, mixed_seed
from e2.data.transforms import PhotoTransform
from e2.texts import TextTable, distinct, text_keys

GRACE = 60  # seconds that a worker goes on after SIGTERM
ONE_STOP = 2  # seconds within which a second SIGTERM is of the same stop; a later one ends the worker
STAND_INS = 10  # replacements tried for a lost product; if all fail, more than a single photo is broken
Plan = Callable[[Batch], Batch]
DESCRIPTION = "description"  # an entity of this name stands for the product's own description


@dataclass
class TrainingView:
    """One product as one step sees it."""

    image: Photos  # (3, H, W), activations of a frozen front, or what a device needs (e2.data.device_views)
    text: str
    tags: tuple[tuple[str, ...], ...]  # texts of each entity's values, none if it has no tag
    lost: tuple[str, ...] = ()  # photos that broke and were replaced, one message each


@dataclass
class NoView:
    """A view without a photo: says why."""

    lost: tuple[str, ...]


class Loaded(NamedTuple):
    """A step's batch as a worker sends it, with messages of the photos lost on the way."""

    batch: Batch | None  # None: no replacement was possible
    lost: tuple[str, ...]


class TrainingViews(Dataset):
    """Products seen with a random photo, caption and augmentation; indexed by (turn, product).

    With ``on_bad_row="skip"`` an unreadable photo is replaced by the product's next one, or else by a product chosen from
    (seed, turn, product). ``error`` gives a `NoView`. If there is a number of ``views``, each photo has only so many, the
    same for all seeds, one a turn (``fixed``); None = a fresh one each turn.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        transform: PhotoTransform,
        tags: Sequence[str],
        *,
        text: str,
        prompt: str,
        seed: int,
        on_bad_row: str = "error",
        views: int | None = None,
    ):
        self.catalogue, self.transform, self.tags = catalogue, transform, tuple(tags)
        self.text, self.prompt, self.seed, self.on_bad_row = text, prompt, seed, on_bad_row
        self.views = views
        self.fixed = None if views is None else PhotoViews(catalogue, transform, on_bad_row)

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, key: tuple[int, int]) -> TrainingView | NoView:
        turn, index = key
        lost: list[str] = []
        for attempt in range(1, STAND_INS + 2):
            view = self._view(turn, index, lost)
            if view is not None or self.on_bad_row == "error":
                break
            index = mixed_seed(self.seed, turn, key[1], attempt) % len(self)
        return view or NoView(tuple(lost))

    def _view(self, turn: int, index: int, lost: list[str]) -> TrainingView | None:
        """View of one product, unless its photos are lost; adds their messages to ``lost``."""
        product = self.catalogue[index]
        with drawing_from(mixed_seed(self.seed, turn, index)):
            first = int(torch.randint(len(product.images), ()))
            caption = int(torch.randint(len(product.captions), ()))
            photo = self._photo(turn, index, first, lost)
            if photo is None:
                return None
            text = mixed_text(product, caption) if self.text == "mixed" else product.text(self.text, caption)
        known = {DESCRIPTION: (product.captions[caption],), **product.values}
        tags = tuple(self._tag_texts(entity, known.get(entity, ())) for entity in self.tags)
        return TrainingView(photo, text, tags, tuple(lost))

    def _photo(self, turn: int, index: int, first: int, lost: list[str]) -> Photos | None:
        """A product's ``first`` photo; the next that can be read if photos may be left out."""
        product = self.catalogue[index]
        for rank in range(first, first + (len(product.images) if self.on_bad_row == "skip" else 1)):
            image = rank % len(product.images)
            photo = self._fresh(product, image, lost) if self.fixed is None else self._fixed(turn, index, image, lost)
            if photo is not None:
                return photo
        return None

    def _fresh(self, product: Product, image: int, lost: list[str]) -> Tensor | None:
        try:
            return self.transform(product.images[image])
        except BadImage as error:
            lost.append(lost_photo(product.product_id, error))
            return None

    def _fixed(self, turn: int, index: int, image: int, lost: list[str]) -> Photos | None:
        assert self.fixed is not None and self.views is not None
        return self.fixed.read(turn % self.views, index, image, lost)

    def made_by_workers(self) -> "TrainingViews":
        """Copies the views for workers that make each of them whole and leave nothing to a device."""
        other = copy.copy(self)
        other.transform = self.transform.by_workers()
        other.fixed = self.fixed and PhotoViews(self.catalogue, other.transform, self.on_bad_row)
        return other

    def texts(self, index: int) -> list[str]:
        """Descriptions and tags of a product, as the tower gets them."""
        product = self.catalogue[index]
        kind = "caption" if self.text == "mixed" else self.text
        captions = [product.text(kind, caption) for caption in range(len(product.captions))]
        values = product.values
        return captions + [text for entity in self.tags for text in self._tag_texts(entity, values.get(entity, ()))]

    def _tag_texts(self, entity: str, values: Sequence[str]) -> tuple[str, ...]:
        return tuple(tag_text(self.prompt, entity, value) for value in values)


def mixed_text(product: Product, caption: int) -> str:
    """Returns the description or, half of the time, some values of its tags in any order, drawn by torch's CPU generator.

    People search by a word or two. A text tower trained on whole descriptions only does not read those well.
    """
    values = [value for values in product.values.values() for value in values]
    if not values or torch.rand(()) < 0.5:
        return product.text("caption", caption)
    count = 1 + int(torch.randint(len(values), ()))
    return " ".join(values[place] for place in torch.randperm(len(values))[:count].tolist())


class StepSampler(Sampler):
    """Yields, for the steps from ``start`` on, lists of (turn, product): see `e2.data.draw`.

    ``products`` is their number, or the portions that they come from. With a single catalogue a turn is an epoch, a fresh
    permutation. An incomplete last batch of an epoch is dropped, so that every step has the same number of negatives. With
    several processes each takes its slice of every batch.
    """

    def __init__(
        self,
        products: int | Sequence[Portion],
        batch_size: int,
        *,
        start: int,
        stop: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.portions = [Portion(products)] if isinstance(products, int) else products
        self.size = sum(portion.shown for portion in self.portions)
        self.batch_size, self.start, self.stop = min(batch_size, self.size), start, stop
        self.seed, self.rank, self.world = seed, rank, world

    @property
    def steps_per_epoch(self) -> int:
        return self.size // self.batch_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, order_epoch = np.empty((0, 2), dtype=np.int64), None
        for step in range(self.start, self.stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order, order_epoch = epoch_order(self.portions, self.seed, epoch), epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield [(turn, index) for turn, index in batch[self.rank :: self.world].tolist()]


class Collate:
    """Collates views into a step's batch; every text is tokenised once, and texts of equal tokens are one.

    ``plan`` is called with the batch in the worker.
    """

    def __init__(self, tokenizer: Callable, plan: Plan | None = None):
        self.tokenizer, self.plan = tokenizer, plan

    def __call__(self, views: Sequence[TrainingView | NoView]) -> Loaded:
        lost = tuple(message for view in views for message in view.lost)
        complete = [view for view in views if isinstance(view, TrainingView)]
        return Loaded(self._batch(complete) if len(complete) == len(views) else None, lost)

    def _batch(self, views: Sequence[TrainingView]) -> Batch:
        table = TextTable()
        text_index = table.places([view.text for view in views])
        tag_index = _tag_index(views, table)
        images = stack_views([view.image for view in views])
        tokens = self.tokenizer(table.texts)
        keys = text_keys(tokens)
        first, place = distinct(keys)
        tag_index = torch.where(tag_index < 0, -1, place[tag_index])
        batch = Batch(images, tokens[first], place[text_index], tag_index, keys[first])
        return batch if self.plan is None else self.plan(batch)


def _tag_index(views: Sequence[TrainingView], table: TextTable) -> Tensor:
    """Place of each tag's text, -1 where missing: (B, E), or (B, E, V) if products have up to V > 1 values of an entity."""
    most = max((len(values) for view in views for values in view.tags), default=0)
    if most <= 1:
        return torch.stack([table.places([next(iter(values), None) for values in view.tags]) for view in views])
    padded = [[[*values, *[None] * (most - len(values))] for values in view.tags] for view in views]
    return torch.stack([torch.stack([table.places(values) for values in tags]) for tags in padded])


class OnTheWay(Sampler):
    """Passes a sampler's batches on to a loader, and keeps those that are ``waiting`` to be loaded."""

    def __init__(self, sampler: Sampler):
        self.sampler, self.waiting = sampler, deque[list[tuple[int, int]]]()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for keys in self.sampler:
            self.waiting.append(keys)
            yield keys


def training_loader(
    views: TrainingViews,
    sampler: StepSampler,
    tokenizer: Callable,
    *,
    workers: int,
    pin_memory: bool,
    plan: Plan | None = None,
) -> Iterator[Batch]:
    """Yields batches in step order, decoded, and planned (``e2.planning``), by ``workers`` processes ahead of the model.

    Photos of a `DeviceTransform` are on its device.

    Raises:
        LostPhoto: a photo broke since it was checked and may not be replaced.
    """
    lost = LostPhotos("another photo replaces one that can no longer be read")
    collate, asked = Collate(tokenizer, plan), OnTheWay(sampler)
    loader = DataLoader(
        views,
        batch_sampler=asked,
        collate_fn=collate,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        **worker_options(workers),
    )
    try:
        for batch, messages in loader:
            keys = asked.waiting.popleft()
            if batch is not None:
                try:
                    batch = replace(batch, images=views.transform.finish(batch.images))
                except BadImage:  # workers know which product's it is, and what replaces it
                    batch, messages = collate([views.made_by_workers()[key] for key in keys])
            if batch is None:
                raise LostPhoto(messages[0])
            lost.note(messages)
            yield batch
    finally:
        lost.close()


def worker_options(workers: int) -> dict[str, Any]:
    """Arguments of a ``DataLoader`` whose workers leave stopping to their parent.

    They are forked where Python can, as Linux always had it. From Python 3.14 on a server forks them by default, and the end
    of that server, by a SIGTERM to all processes of a job, would pass for the end of its workers.
    """
    if not workers:
        return {}
    known, chosen = multiprocessing.get_all_start_methods(), multiprocessing.get_start_method(allow_none=True)
    context = "fork" if chosen is None and known[0] == "forkserver" else chosen
    return {"num_workers": workers, "worker_init_fn": leave_stopping_to_the_parent, "multiprocessing_context": context}


def leave_stopping_to_the_parent(worker: int) -> None:
    """Lets workers outlive Ctrl-C, and a scheduler's SIGTERM for a minute: the parent needs them to finish its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_soon)


def _end_soon(signum: int, frame: object) -> None:
    """Takes a stop, which may come twice at once: to each process, and to their group, as ``timeout`` passes it on."""
    came = time.monotonic()

    def again(signum: int, frame: object) -> None:
        if time.monotonic() - came > ONE_STOP:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, again)
    signal.alarm(GRACE)
