"""Quick validation on held-out products during training: recalls both ways, one photo and one text per product.

The full evaluators (protocols, several photos and captions, intervals) are in ``benchmarks``; this one only chooses
checkpoints.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from statistics import mean

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from e2.activations import Photos, stack_photos
from e2.data.loader import worker_options
from e2.data.lost import LostPhotos
from e2.data.photo_views import PhotoViews
from e2.data.product import Catalogue, tag_text
from e2.data.transforms import PhotoTransform
from e2.distributed import as_on_main, first_of_each, gather_rows, own_rows
from e2.model import E2
from e2.modes import in_mode
from e2.ranks import cross_modal_ranks, recalls, retrieval_metrics
from e2.texts import cut_to_longest, text_keys

TEXTS = 256  # tag texts encoded at a time


class FirstPhotos(Dataset):
    """Each product's first photo and first text, with a message if the photo can no longer be read.

    A white picture, which matches nothing, replaces it, so that a broken photo does not end a run.
    """

    def __init__(self, catalogue: Catalogue, transform: PhotoTransform, text: str):
        self.catalogue, self.transform, self.text = catalogue, transform, text
        self.photos = PhotoViews(catalogue, transform, on_bad_row="skip")

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, index: int) -> tuple[Photos, str, str]:
        lost: list[str] = []
        photo = self.photos.read(0, index, 0, lost)
        if photo is None:
            photo = self.photos.blank(0, index, 0)
        return photo, self.catalogue[index].text(self.text), "".join(lost)


def collate(rows: Sequence[tuple[Photos, str, str]]) -> tuple[Photos, list[str], list[str]]:
    """Batch of :class:`FirstPhotos`."""
    photos, texts, lost = zip(*rows, strict=True)
    return stack_photos(photos), list(texts), list(lost)


def validate(
    model: E2,
    products: FirstPhotos,
    tokenizer: Callable,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    entities: Sequence[str] = (),
    prompt: str = "{tag}",
) -> dict[str, float]:
    """Computes R@1, R@5, R@10 both ways and their sum ``SumR``, in percent, with all products as candidates.

    With ``entities`` also ``tag_accuracy``: :func:`tag_accuracy`, whose texts ``prompt`` makes.

    Products with the same text tokens share them: each of their photos is a positive. Ties count as in ``e2.ranks``. With
    several processes each encodes its share.

    Raises:
        NotFinite: features with NaN or infinity.
    """
    images: list[Tensor] = []
    texts: list[Tensor] = []
    keys: list[Tensor] = []
    lost = LostPhotos("validation goes on without a photo that can no longer be read")
    with torch.inference_mode(), in_mode(model, training=False):
        own = Subset(products, own_rows(len(products)))
        for pixels, batch, messages in DataLoader(own, batch_size, collate_fn=collate, **worker_options(workers)):
            tokens = tokenizer(batch)
            keys.append(text_keys(tokens))
            tokens = cut_to_longest(model.clip, tokens)
            lost.note([message for message in messages if message])
            images.append(model.read(pixels.to(device)).image.float())
            texts.append(model.encode_text(tokens.to(device)).float())
    lost.close()
    parts = (torch.cat(images), torch.cat(texts), torch.cat(keys).to(device))
    all_images, all_texts, all_keys = (gather_rows(part, len(products)) for part in parts)
    _, groups = first_of_each(all_keys)
    found = sum_recalls(all_images, all_texts, groups)
    if entities:
        with in_mode(model, training=False):
            found |= tag_accuracy(model, all_images, products.catalogue, entities, tokenizer, prompt)
    return as_on_main(found)


@torch.inference_mode()
def tag_accuracy(
    model: E2, images: Tensor, products: Catalogue, entities: Sequence[str], tokenizer: Callable, prompt: str
) -> dict[str, float]:
    """Computes how often the nearest text among all of an entity's values is a product's own: percent, mean of the entities.

    Args:
        images: (N, D), a photo of each product; those without a value of an entity do not count there.
    """
    accuracies = []
    for entity in entities:
        values = [products[row].values.get(entity, ()) for row in range(len(products))]
        names, rows = sorted(set(chain.from_iterable(values))), [row for row, own in enumerate(values) if own]
        if len(names) < 2:
            continue
        tokens = tokenizer([tag_text(prompt, entity, name) for name in names]).to(images.device)
        texts = torch.cat([model.encode_text(part).float() for part in cut_to_longest(model.clip, tokens).split(TEXTS)])
        nearest = (images[rows] @ F.normalize(texts, dim=-1).T).argmax(dim=1).tolist()
        accuracies.append(100 * mean(names[place] in values[row] for row, place in zip(rows, nearest, strict=True)))
    return {"tag_accuracy": mean(accuracies)} if accuracies else {}


def sum_recalls(images: Tensor, texts: Tensor, groups: Tensor) -> dict[str, float]:
    """Computes recalls from features (N, D), (N, D); rows of one group are positives of each other.

    Raises:
        NotFinite: features with NaN or infinity.
    """
    to_text, to_image = cross_modal_ranks(images, texts, groups, groups)
    return retrieval_metrics(recalls(to_text), recalls(to_image))
