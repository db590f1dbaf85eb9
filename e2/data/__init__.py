"""Catalogues of products from any source, checked and cheap to index; images decoded when they are needed."""

from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.columns import Columns, parse_tags
from e2.data.images import BadImage, load_image
from e2.data.product import Box, Catalogue, Product, full_text
from e2.data.sources import open_catalogue, splits_of

__all__ = [
    "ArrowCatalogue",
    "BadImage",
    "Box",
    "Catalogue",
    "Columns",
    "Product",
    "Subset",
    "full_text",
    "load_image",
    "open_catalogue",
    "parse_tags",
    "splits_of",
]
