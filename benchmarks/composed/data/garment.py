"""Finds the tag for the kind of garment. Without it a black bag would be right for "this dress, but in black"."""

from collections.abc import Iterable, Sequence

from e2.errors import InputError
from e2.spelling import spelling

NAMES = (  # names of it in catalogues, the finest first
    "article type",
    "sub category",
    "product type",
    "garment type",
    "item type",
    "garment",
    "type",
    "category",
    "product category",
    "department",
)


def plain_name(name: str) -> str:
    """Normalises the name of a tag or column, without a ``name`` at its end.

    >>> plain_name("subCategory"), plain_name("Product_Type_Name"), plain_name("baseColour")
    ('subcategory', 'producttype', 'basecolor')
    """
    return spelling(name).removesuffix("name")


PLACES = {plain_name(name): place for place, name in enumerate(NAMES)}


def garment_tag(names: Iterable[str]) -> str | None:
    """Returns the finest name that means a kind of garment, or None.

    >>> garment_tag(["category", "articleType", "brand"])
    'articleType'
    """
    found = [name for name in names if plain_name(name) in PLACES]
    return min(found, key=lambda name: PLACES[plain_name(name)], default=None)


def kept_tags(keep: Sequence[str] | None, tags: Sequence[str], columns: Sequence[str] = (), *, name: str) -> tuple[str, ...]:
    """Returns the tags that right answers share with the reference unless a wish changes them.

    Args:
        keep: the user's choice; None: the garment's, looked up among the tags, then all columns.
        tags: of the opened catalogue.
        columns: all of its columns.
        name: of the catalogue, for the message.

    Raises:
        InputError: no tags, or none to keep is given or recognised.
    """
    if not tags:
        raise InputError(f"{name}: a benchmark from tags needs some; name them by --tags brand,colour,...")
    if keep:
        return tuple(dict.fromkeys(keep))
    found = garment_tag(tags) or garment_tag(columns)
    if found is None:
        raise InputError(
            f"{name}: no tag is called {', '.join(n.replace(' ', '_') for n in NAMES[:4])} or the like, and without one other "
            "garments would count as right; name the column that says what a product is by --keep"
        )
    return (found,)
