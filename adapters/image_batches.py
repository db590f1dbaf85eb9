"""Decodes any sequence of images in worker processes, in order."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from e2.data.images import ImageSource, as_photo
from e2.errors import InputError


def image_batches(
    images: Sequence[ImageSource],
    preprocess: Callable,
    batch_size: int,
    workers: int,
    *,
    rows: Sequence[Sequence[int]] | None = None,
    pin: bool = False,
) -> Iterator[Tensor]:
    """Yields (B, 3, H, W) in the order of ``images``, or per batch of ``rows``; workers read the images one by one."""
    if not len(images):
        raise InputError("there are no images to encode")
    rows = rows or [range(len(images))[start : start + batch_size] for start in range(0, len(images), batch_size)]
    few = len(rows) <= 2  # starting processes would take longer than decoding
    loader = DataLoader(
        _Decoded(images, preprocess),
        batch_sampler=[list(batch) for batch in rows],
        num_workers=0 if few else workers,
        collate_fn=_stacked,
        pin_memory=pin,
    )
    for batch in loader:
        if isinstance(batch, str):
            raise InputError(batch)
        yield batch


class _Decoded(Dataset):
    """Preprocessed images; a bad one becomes its error message, because a DataLoader would bury it in a traceback."""

    def __init__(self, images: Sequence[ImageSource], preprocess: Callable):
        self.images, self.preprocess = images, preprocess

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            return self.preprocess(as_photo(self.images[index]))
        except InputError as error:
            return str(error)


def _stacked(items: list[Tensor | str]) -> Tensor | str:
    errors = [item for item in items if isinstance(item, str)]
    return errors[0] if errors else torch.stack([item for item in items if not isinstance(item, str)])
