"""Training batches: any step's batch follows from (seed, step) alone.

Order, choice among several photos and captions, and augmentation are functions of (seed, epoch, product), independent of the
number of workers and of what ran before. So a resumed run needs no stored random state to go on bit for bit.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from e2.data.images import load_image
from e2.data.product import Catalogue
from e2.methods import Batch
from e2.texts import TextTable

DESCRIPTION = "description"  # an entity of this name stands for the product's own description


def mixed_seed(*parts: int) -> int:
    """One well-mixed 63-bit seed from several small numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass
class View:
    """One product as one step sees it."""

    image: Tensor  # (3, H, W)
    text: str
    tags: tuple[str | None, ...]  # text of each entity's tag


class TrainingViews(Dataset):
    """Products seen with a random photo, caption and augmentation; indexed by (epoch, product)."""

    def __init__(self, catalogue: Catalogue, transform: Callable, tags: Sequence[str], *, text: str, prompt: str, seed: int):
        self.catalogue, self.transform, self.tags = catalogue, transform, tuple(tags)
        self.text, self.prompt, self.seed = text, prompt, seed

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, key: tuple[int, int]) -> View:
        epoch, index = key
        product = self.catalogue[index]
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(mixed_seed(self.seed, epoch, index))
            image = product.images[int(torch.randint(len(product.images), ()))]
            caption = int(torch.randint(len(product.captions), ()))
            pixels = self.transform(load_image(image))
        known = {DESCRIPTION: product.captions[caption], **product.tags}
        tags = tuple(self._tag_text(entity, known.get(entity)) for entity in self.tags)
        return View(pixels, product.text(self.text, caption), tags)

    def _tag_text(self, entity: str, tag: str | None) -> str | None:
        return None if tag is None else self.prompt.format(tag=tag, entity=entity.replace("_", " "))


class StepSampler(Sampler):
    """Yields, for the steps from ``start`` on, lists of (epoch, product).

    Each epoch is a fresh permutation; a last incomplete batch is left out, so that every step has the same number of
    negatives. With several processes each takes its slice of every batch.
    """

    def __init__(self, size: int, batch_size: int, *, start: int, stop: int, seed: int, rank: int = 0, world: int = 1):
        self.size, self.batch_size, self.start, self.stop = size, min(batch_size, size), start, stop
        self.seed, self.rank, self.world = seed, rank, world

    @property
    def steps_per_epoch(self) -> int:
        return self.size // self.batch_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order, order_epoch = None, None
        for step in range(self.start, self.stop):
            epoch, position = divmod(step, self.steps_per_epoch)
            if epoch != order_epoch:
                order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
                order_epoch = epoch
            batch = order[position * self.batch_size : (position + 1) * self.batch_size]
            yield [(epoch, int(index)) for index in batch[self.rank :: self.world]]


class Collate:
    """Views -> Batch; every unique text of the step is tokenised once."""

    def __init__(self, tokenizer: Callable):
        self.tokenizer = tokenizer

    def __call__(self, views: Sequence[View]) -> Batch:
        table = TextTable()
        text_index = table.places([view.text for view in views])
        tag_index = torch.stack([table.places(view.tags) for view in views])  # (B, E)
        images = torch.stack([view.image for view in views])
        return Batch(images, self.tokenizer(table.texts), text_index, tag_index)


def training_loader(
    views: TrainingViews, sampler: StepSampler, tokenizer: Callable, *, workers: int, pin_memory: bool
) -> DataLoader:
    """Batches in step order, decoded by ``workers`` processes ahead of the model."""
    return DataLoader(
        views,
        batch_sampler=sampler,
        collate_fn=Collate(tokenizer),
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        worker_init_fn=leave_stopping_to_the_parent,
    )


def leave_stopping_to_the_parent(worker: int) -> None:
    """A Ctrl-C in a terminal reaches the workers too; the parent still needs them to end its step in good order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
