"""The quick look at held-out products during training: recalls both ways, one photo and one text a product.

The full evaluators (protocols, several photos and captions, intervals) live in ``benchmarks``; this one only chooses
checkpoints.
"""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from e2.data.images import BadImage, load_image
from e2.data.loader import leave_stopping_to_the_parent, text_key
from e2.data.lost import LostPhotos
from e2.data.product import Catalogue
from e2.distributed import as_on_main, first_of_each, gather_rows, own_rows
from e2.model import E2
from e2.texts import cut_to_longest

BLOCK = 1024  # queries scored at a time


class FirstPhotos(Dataset):
    """Each product's first photo and first text, and what became of the photo if it cannot be read any more.

    A white picture stands in for it, which finds nothing: a photo that broke since it was checked does not end a run.
    """

    def __init__(self, catalogue: Catalogue, transform: Callable, text: str):
        self.catalogue, self.transform, self.text = catalogue, transform, text

    def __len__(self) -> int:
        return len(self.catalogue)

    def __getitem__(self, index: int) -> tuple[Tensor, str, str]:
        product = self.catalogue[index]
        try:
            photo, lost = load_image(product.images[0]), ""
        except BadImage as error:
            photo, lost = Image.new("RGB", (64, 64), "white"), f"product {product.product_id!r}: {error.where}: {error.cause}"
        return self.transform(photo), product.text(self.text), lost


def validate(
    model: E2, products: FirstPhotos, tokenizer: Callable, *, batch_size: int, workers: int, device: torch.device
) -> dict[str, float]:
    """R@1, R@5, R@10 both ways and their sum ``SumR``, in percent, all products as candidates.

    Products of identical text share it: each of their photos is a right answer. Ties count against the model. With several
    processes each encodes its share.
    """
    was_training = model.training
    model.eval()
    images: list[Tensor] = []
    texts: list[Tensor] = []
    keys: list[int] = []
    lost = LostPhotos("validation goes on without a photo that cannot be read any more")
    with torch.inference_mode():
        own = Subset(products, own_rows(len(products)))
        for pixels, batch, messages in DataLoader(
            own, batch_size, num_workers=workers, worker_init_fn=leave_stopping_to_the_parent
        ):
            tokens = cut_to_longest(model.clip, tokenizer(list(batch)))
            keys.extend(map(text_key, batch))
            lost.note([message for message in messages if message])
            images.append(model.encode_image(pixels.to(device), normalize=True).float())
            texts.append(model.encode_text(tokens.to(device), normalize=True).float())
    model.train(was_training)
    lost.close()
    parts = (torch.cat(images), torch.cat(texts), torch.tensor(keys, device=device))
    all_images, all_texts, all_keys = (gather_rows(part, len(products)) for part in parts)
    _, groups = first_of_each(all_keys)
    return as_on_main(sum_recalls(F.normalize(all_images, dim=-1), F.normalize(all_texts, dim=-1), groups))


def sum_recalls(images: Tensor, texts: Tensor, groups: Tensor) -> dict[str, float]:
    """Recalls from unit features (N, D), (N, D); rows of one group are right answers to each other."""
    metrics: dict[str, float] = {}
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
