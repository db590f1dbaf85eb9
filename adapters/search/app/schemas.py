"""Questions and answers of the JSON API."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from e2.adapters.composed.baselines import TEXT_WEIGHT
from e2.adapters.search.filters import LONGEST as LONGEST_FILTER
from e2.adapters.search.filters import ranges_of, tags_of

LONGEST_TEXT = 500  # characters; a text tower reads about 300
LONGEST_ID, LONGEST_VALUE = 2000, 2000  # products and tags: more than catalogues have, less than an address holds
MOST_COUNTED = 500  # values of a tag in an answer
DEEPEST = 1000  # products that one search can be paged through
Sure = Literal["known", "likely", "guess"]
PHOTO, LONGEST_PHOTO = "`upload:...` as `/api/photos` gave it, or `product:ID`", LONGEST_ID + 8

BOX, LONGEST_BOX = "part of the only photo: left,top,right,bottom in shares of width and height", 100

PhotoName = Annotated[str, Field(max_length=LONGEST_PHOTO)]
MOST_PHOTOS = 10  # of a query


class Search(BaseModel):
    """A search; every part may be missing."""

    model_config = ConfigDict(extra="forbid")  # a misspelt filter would let everything pass

    q: str = Field("", max_length=LONGEST_TEXT, description="words; beside a photo what should differ")
    photo: list[PhotoName] = Field([], max_length=MOST_PHOTOS, description=f"{PHOTO}; several add up")
    minus: list[PhotoName] = Field([], max_length=MOST_PHOTOS, description="likewise, to move away from")
    box: str | None = Field(None, max_length=LONGEST_BOX, description=BOX)
    method: str | None = Field(None, max_length=50, description="how photo and words are combined")
    weight: float = Field(TEXT_WEIGHT, ge=0, le=1, description="of the words, for the method slerp")
    tag: list[Annotated[str, Field(max_length=LONGEST_VALUE)]] = Field(
        [], max_length=100, description="`entity:value`; values of one entity are alternatives"
    )
    between: list[Annotated[str, Field(max_length=LONGEST_VALUE)]] = Field(
        [], max_length=100, description="`entity:from..to`, numbers; either may be left out, as in `price:..50`"
    )
    filter: str | None = Field(
        None, max_length=LONGEST_FILTER, description='e.g. `brand == "Nike" and colour in ["red", "blue"]`'
    )
    sort: str | None = Field(
        None, max_length=LONGEST_VALUE, description="by the numbers of a tag, `price`, or `-price` for the highest first"
    )
    closely: bool = Field(True, description="let the re-ranker look at the first hits, if the app was started with one")
    k: int = Field(24, ge=1, le=100, description="products on a page")
    offset: int = Field(0, ge=0, le=DEEPEST, description="products to skip")

    def tags(self, entities: Sequence[str]) -> dict[str, list[str]]:
        """Maps entities of the index to values of which a product must have one."""
        return tags_of(self.tag, entities)

    def ranges(self, entities: Sequence[str]) -> dict[str, tuple[float, float]]:
        """Maps entities of the index to the lowest and highest number between which one of a product's values must lie."""
        return ranges_of(self.between, entities)


class ValuesOf(Search):
    """Values of a tag under a search's filters."""

    entity: str = Field(max_length=LONGEST_VALUE, description="the tag")
    letters: str = Field("", max_length=LONGEST_VALUE, description="values with these letters only")


class Values(BaseModel):
    """Values of a tag, the most frequent first."""

    values: dict[str, int] = Field(description="value -> products under the other filters")
    more: int = Field(description="number of further values")


class About(BaseModel):
    """The index and the available functions."""

    products: int
    data: str = Field(description="what the index was built from")
    encoder: str
    entities: list[str] = Field(description="tags that filters may name")
    numbers: list[str] = Field(description="tags of numbers, for `sort` and `between`")
    colour: str | None = Field(description="the tag that names colours; null: none does")
    methods: list[str] = Field(description="ways to search with a photo and a wish, the default first")
    captions: bool = Field(description="whether photos can be described")
    looks: bool = Field(description="whether it is known where selection tokens look")


class IndexedProduct(BaseModel):
    """A product of the index; its photo is at ``/api/thumbnail?id=``."""

    product_id: str
    caption: str
    tags: dict[str, str]
    score: float = Field(description="cosine of the product's photo and the query")
    weak: bool = Field(False, description="true: hardly matches the words of a search by words alone")


class ProductPage(BaseModel):
    """A page of products, and the counts for filters."""

    products: list[IndexedProduct]
    found: int = Field(description="products that pass the filters")
    sorted: int | None = Field(description="how many of the nearest products `sort` orders; null: all, or no `sort`")
    next_offset: int | None = Field(description="where the next page starts; null: nothing more")
    facets: dict[str, dict[str, int]] = Field(
        description=f"tag -> value -> products under the other filters; the {MOST_COUNTED:,} most frequent values, the chosen "
        "ones and, of numbers, the least and the greatest"
    )
    more: dict[str, int] = Field(description="tag -> number of further values, which `/api/values` finds by their letters")
    unfiltered: dict[str, int] = Field(description="where nothing passes: chosen tag -> products without its filters")
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
    sure: Sure = Field(
        description="known: the product's own; likely: most of the nearest products have it; guess: takes no part in searches"
    )
    cosine: float | None = Field(description="of the photo and the value; null: it is not among the nearest values")


class Layer(BaseModel):
    """Selections of an entity's tokens at one fusion block: a weight for each patch of the grid."""

    layer: int
    weights: list[list[float]]


class ProposedPart(BaseModel):
    """A part of a photo where the tokens of some entities looked."""

    entities: list[str]
    box: tuple[float, float, float, float] = Field(description="left, top, right, bottom, as `box` takes it")


class ReadOff(BaseModel):
    """Tags read from a photo, and where the selection tokens looked for them."""

    tags: dict[str, list[Read]] = Field(description="values of each tag, the surest first, then the nearest")
    looks: dict[str, list[Layer]]
    parts: list[ProposedPart] = Field(description="to search with, by where the tokens looked; none for a part")
    seen: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 of the grid, in shares of the photo")


class Caption(BaseModel):
    """Caption of a photo."""

    caption: str


class Problem(BaseModel):
    """A problem, in one line."""

    error: str
