"""A catalogue of plain colours and encoders that one-hot colour words, so that every recall is known by hand."""

import io
from dataclasses import dataclass, field

import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from e2.adapters.encoder import Encoder
from e2.backbones import create_tokenizer
from e2.data.product import Product

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}


def png(colour: str, size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(file, "PNG")
    return file.getvalue()


@dataclass
class Shelf:
    """A catalogue from a list of products."""

    products: list[Product]
    name: str = "shelf"
    split: str = "test"
    tags: tuple[str, ...] = field(default=("sub_category",))

    def __len__(self) -> int:
        return len(self.products)

    def __getitem__(self, index: int) -> Product:
        return self.products[index]


class ColourModel(nn.Module):
    """Colour of the first pixel and first colour word -> one of five axes; ``confused`` sees green as red."""

    def __init__(self, confused: bool = False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))  # normalisation has to take it out
        self.confused = confused

    def _axis(self, index: Tensor) -> Tensor:
        return self.scale * nn.functional.one_hot(index, len(COLOURS)).float()

    def encode_image(self, images: Tensor) -> Tensor:
        palette = torch.tensor(list(COLOURS.values())) / 255
        index = torch.cdist(images[:, :, 0, 0], palette).argmin(dim=1)
        return self._axis(index.where(index != 1, 0) if self.confused else index)

    def encode_text(self, tokens: Tensor) -> Tensor:
        names = torch.stack([open_clip.tokenize(name)[0, 1] for name in COLOURS])
        return self._axis((tokens[:, :, None] == names).any(dim=1).int().argmax(dim=1))


def pixels(image: Image.Image) -> Tensor:
    return torch.tensor(image.getpixel((0, 0))).float().div(255).reshape(3, 1, 1)


def colour_encoder(path: str = "stub", *, confused: bool = False, batch_size: int = 2) -> Encoder:
    tokenizer = create_tokenizer("ViT-B-32")
    info = {"path": path, "weights_sha256": "0" * 64, "backbone": "stub", "method": "stub"}
    return Encoder(ColourModel(confused), pixels, tokenizer, info, device="cpu", batch_size=batch_size, workers=0)
