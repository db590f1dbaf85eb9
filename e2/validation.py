"""The quick look at held-out products during training: recalls both ways, one photo and one text a product.

The full evaluators (protocols, several photos and captions, intervals) live in ``benchmarks``; this one only chooses
checkpoints.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from e2.data.images import load_image
from e2.data.loader import leave_stopping_to_the_parent
from e2.data.product import Catalogue
from e2.model import E2
from e2.texts import cut_to_longest

BLOCK = 1024  # queries scored at a time


class FirstPhotos(Dataset):
    """Each product's first photo and first text."""

    def __init__(self, catalogue: Catalogue, transform: Callable, text: str):
        self.catalogue, self.transform, self.text = catalogue, transform, text

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        product = self.catalogue[index]
        return self.transform(load_image(product.images[0])), product.text(self.text)


def validate(
    model: E2, products: FirstPhotos, tokenizer: Callable, *, batch_size: int, workers: int, device: torch.device
) -> dict[str, float]:
    """R@1, R@5, R@10 both ways and their sum ``SumR``, in percent, all products as candidates.

    Products of identical text share it: each of their photos is a right answer. Ties count against the model.
    """
    was_training = model.training
    model.eval()
    images, texts, names = [], [], []
    with torch.inference_mode():
        for pixels, batch in DataLoader(
            products, batch_size, num_workers=workers, worker_init_fn=leave_stopping_to_the_parent
        ):
            tokens = cut_to_longest(model.clip, tokenizer(list(batch)))
            names.extend(batch)
            images.append(model.encode_image(pixels.to(device), normalize=True).float())
            texts.append(model.encode_text(tokens.to(device), normalize=True).float())
    model.train(was_training)
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    groups = torch.tensor([places[name] for name in names], device=device)
    return sum_recalls(F.normalize(torch.cat(images), dim=-1), F.normalize(torch.cat(texts), dim=-1), groups)


def sum_recalls(images: Tensor, texts: Tensor, groups: Tensor) -> dict[str, float]:
    """Recalls from unit features (N, D), (N, D); rows of one group are right answers to each other."""
    metrics = {}
    for name, queries, gallery in (("image_to_text", images, texts), ("text_to_image", texts, images)):
        ranks = []
        for start in range(0, len(queries), BLOCK):
            scores = queries[start : start + BLOCK] @ gallery.T
            right = groups[start : start + BLOCK, None] == groups
            best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
            ranks.append(((scores >= best) & ~right).sum(dim=1))
        rank = torch.cat(ranks)
        metrics |= {f"{name}_R@{k}": 100 * (rank < k).double().mean().item() for k in (1, 5, 10)}
    return metrics | {"SumR": sum(metrics.values())}
