"""Quick validation on held-out products during training: recalls both ways, one photo and one text per product.

The full evaluators (protocols, several photos and captions, intervals) are in ``benchmarks``; this one only chooses
checkpoints.
"""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from e2.data.images import BadImage, load_image
from e2.data.loader import leave_stopping_to_the_parent
from e2.data.lost import LostPhotos
from e2.data.product import Catalogue
from e2.distributed import as_on_main, first_of_each, gather_rows, own_rows
from e2.model import E2
from e2.ranks import cross_modal_ranks, recalls, retrieval_metrics
from e2.texts import cut_to_longest, text_keys


class FirstPhotos(Dataset):
    """Each product's first photo and first text, with a message if the photo can no longer be read.

    A white picture, which matches nothing, replaces it, so that a broken photo does not end a run.
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
    """Computes R@1, R@5, R@10 both ways and their sum ``SumR``, in percent, with all products as candidates.

    Products with the same text tokens share them: each of their photos is a positive. Ties count as in ``e2.ranks``. With
    several processes each encodes its share.

    Raises:
        NotFinite: features with NaN or infinity.
    """
    was_training = model.training
    model.eval()
    images: list[Tensor] = []
    texts: list[Tensor] = []
    keys: list[Tensor] = []
    lost = LostPhotos("validation goes on without a photo that can no longer be read")
    with torch.inference_mode():
        own = Subset(products, own_rows(len(products)))
        for pixels, batch, messages in DataLoader(
            own, batch_size, num_workers=workers, worker_init_fn=leave_stopping_to_the_parent
        ):
            tokens = tokenizer(list(batch))
            keys.append(text_keys(tokens))
            tokens = cut_to_longest(model.clip, tokens)
            lost.note([message for message in messages if message])
            images.append(model.encode_image(pixels.to(device)).float())
            texts.append(model.encode_text(tokens.to(device)).float())
    model.train(was_training)
    lost.close()
    parts = (torch.cat(images), torch.cat(texts), torch.cat(keys).to(device))
    all_images, all_texts, all_keys = (gather_rows(part, len(products)) for part in parts)
    _, groups = first_of_each(all_keys)
    return as_on_main(sum_recalls(all_images, all_texts, groups))


def sum_recalls(images: Tensor, texts: Tensor, groups: Tensor) -> dict[str, float]:
    """Computes recalls from features (N, D), (N, D); rows of one group are positives of each other.

    Raises:
        NotFinite: features with NaN or infinity.
    """
    to_text, to_image = cross_modal_ranks(images, texts, groups, groups)
    return retrieval_metrics(recalls(to_text), recalls(to_image))
