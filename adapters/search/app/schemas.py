"""Answers of the JSON API."""

import re
from typing import Any

from pydantic import BaseModel, Field

from e2.adapters.search.app.service import Page, PhotoReading, SearchService
from e2.adapters.search.store import IndexHit


class About(BaseModel):
    """The index and the available functions."""

    products: int
    data: str = Field(description="what the index was built from")
    encoder: str
    entities: list[str] = Field(description="tags that filters may name")
    methods: list[str] = Field(description="ways to search with a photo and a wish, the default first")
    captions: bool = Field(description="whether photos can be described")
    looks: bool = Field(description="whether it is known where selection tokens look")


class IndexedProduct(BaseModel):
    """A product of the index; its photo is at ``/api/thumbnail?id=``."""

    product_id: str
    caption: str
    tags: dict[str, str]
    score: float = Field(description="cosine of the product's photo and the query")


class ProductPage(BaseModel):
    """A page of products, and the counts for filters."""

    products: list[IndexedProduct]
    next_offset: int | None = Field(description="where the next page starts; null: nothing more")
    facets: dict[str, dict[str, int]] = Field(description="tag -> value -> products under the other filters")
    method: str | None = Field(description="how photo and words were combined; null if there was only one of them")
    steps: dict[str, Any] = Field(description="steps of a composed query, in words")


class Uploaded(BaseModel):
    """An uploaded photo: use its id while the server keeps it."""

    photo: str
    width: int
    height: int


class Read(BaseModel):
    """A value read from a photo."""

    value: str
    cosine: float


class Layer(BaseModel):
    """Selections of an entity's tokens at one fusion block: a weight for each patch of the grid."""

    layer: int
    weights: list[list[float]]


class ReadOff(BaseModel):
    """Tags read from a photo, and where the selection tokens looked for them."""

    tags: dict[str, list[Read]] = Field(description="nearest values of each tag, nearest first")
    looks: dict[str, list[Layer]]
    seen: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 of the grid, in shares of the photo")


class Caption(BaseModel):
    """Caption of a photo."""

    caption: str


class Problem(BaseModel):
    """A problem, in one line."""

    error: str


def about_of(service: SearchService) -> About:
    manifest, models = service.index.manifest, service.models
    return About(
        products=manifest.count,
        data=without_folders(manifest.data),
        encoder=without_folders(manifest.encoder["path"]),
        entities=list(manifest.entities),
        methods=list(models.methods),
        captions=models.captioner is not None,
        looks=bool(models.encoder.tags),
    )


def without_folders(name: str) -> str:
    """Strips folders of the server from a data set's or encoder's name, for visitors.

    Example:
        >>> without_folders("products:/srv/shop/autumn"), without_folders("hf-hub:shop/fashion-clip")
        ('products:autumn', 'hf-hub:shop/fashion-clip')
    """
    return re.sub(r"(^|:)/.*/(?=.)", r"\1", name)


def product_of(hit: IndexHit) -> IndexedProduct:
    return IndexedProduct(**hit.record())


def found_of(page: Page) -> ProductPage:
    return ProductPage(
        products=[product_of(hit) for hit in page.hits],
        next_offset=page.next_offset,
        facets=page.facets,
        method=page.method,
        steps=page.steps,
    )


def read_off(reading: PhotoReading) -> ReadOff:
    tags = {e: [Read(value=value, cosine=round(cosine, 4)) for value, cosine in read] for e, read in reading.tags.items()}
    looks = {
        entity: [Layer(layer=layer, weights=weights.round(3).tolist()) for layer, weights in layers.items()]
        for entity, layers in reading.selections.items()
    }
    return ReadOff(tags=tags, looks=looks, seen=reading.seen)
