"""Makes a general catalogue, a stand-in for web data, to pre-train a start model without pre-trained weights.

Pre-trained CLIPs have seen photos with short, general texts and little of a shop's language. So each caption names only
category and colour; brands, seasons, compositions and descriptions are dropped. Its products should differ from those to
fine-tune on: boutique with another seed, or another shop.

    e2 data general boutique:train=6000,val=300,test=1000,seed=100 --out runs/general-data
    e2 train --data runs/general-data --method clip --epochs 10 --out runs/general
    e2 study main --data boutique --pretrained runs/general/model.safetensors \\
      --set optim.lr=1e-3 --set optim.new_lr=2e-3 --out runs/fine-tuned
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from e2.data import Catalogue, Product
from e2.data.export import IMAGE
from e2.errors import InputError
from e2.files import output_folder
from e2.outputs import OutputKind

CATEGORY, COLOUR = "sub_category", "colour"
GENERAL = OutputKind("a general catalogue")
TEMPLATES = (
    "a photo of a {category} in {colour}",
    "{colour} {category}",
    "a {colour} {category}",
    "{category}, {colour}",
    "a picture of {category}, {colour}",
    "this is a {category}; its colour is {colour}",
)
WITHOUT_COLOUR = "a photo of a {category}"
ROWS = 1000  # rows written at a time
SCHEMA = pa.schema([("product_id", pa.string()), ("image", IMAGE), ("caption", pa.string())])


def general_caption(product: Product, row: int) -> str | None:
    """Names the product's category and colour in one of a few wordings, in turn; None without a category.

    >>> general_caption(Product("7", (b"",), ("A tee by Nike",), {"sub_category": "Tshirts", "colour": "Navy Blue"}), 1)
    'navy blue tshirts'
    """
    words = {name: product.tags.get(name, "").lower() for name in (CATEGORY, COLOUR)}
    if not words[CATEGORY]:
        return None
    template = TEMPLATES[row % len(TEMPLATES)] if words[COLOUR] else WITHOUT_COLOUR
    return template.format(category=words[CATEGORY], colour=words[COLOUR])


def write_general(catalogues: Sequence[Catalogue], out: Path) -> dict[str, int]:
    """Writes ``out/SPLIT.parquet`` of the catalogues' first photos with general captions.

    Returns:
        Split -> products.

    Raises:
        InputError: ``out`` exists, or a split has no product with a category.
    """
    written = {}
    with output_folder(out, GENERAL) as folder:
        for catalogue in catalogues:
            written[catalogue.split] = 0
            with pq.ParquetWriter(folder / f"{catalogue.split}.parquet", SCHEMA) as writer:
                for start in range(0, len(catalogue), ROWS):
                    rows = list(_rows(catalogue, range(start, min(start + ROWS, len(catalogue)))))
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    written[catalogue.split] += len(rows)
            if not written[catalogue.split]:
                raise InputError(
                    f"{catalogue.name}, {catalogue.split}: no product has a {CATEGORY}; name its column by --tags"
                )
    return written


def _rows(catalogue: Catalogue, rows: range) -> Iterator[dict]:
    for row in rows:
        product = catalogue[row]
        if caption := general_caption(product, row):
            photo = product.images[0]
            encoded = photo.read_bytes() if isinstance(photo, Path) else photo
            yield {"product_id": product.product_id, "image": {"bytes": encoded, "path": None}, "caption": caption}
