"""Which tag says what kind of thing a product is. Without it a black bag would be right for "this dress, but in black"."""

from collections.abc import Iterable, Sequence

from e2.errors import InputError
from e2.spelling import spelling

NAMES = (  # how catalogues call it, the finest first
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
    """The name of a tag or column in its common spelling, without a ``name`` at its end.

    >>> plain_name("subCategory"), plain_name("Product_Type_Name"), plain_name("baseColour")
    ('subcategory', 'producttype', 'basecolor')
    """
    return spelling(name).removesuffix("name")


PLACES = {plain_name(name): place for place, name in enumerate(NAMES)}


def garment_tag(names: Iterable[str]) -> str | None:
    """The finest of the names that mean a kind of garment, None where there is none.

    >>> garment_tag(["category", "articleType", "brand"])
    'articleType'
    """
    found = [name for name in names if plain_name(name) in PLACES]
    return min(found, key=lambda name: PLACES[plain_name(name)], default=None)


def kept_tags(keep: Sequence[str] | None, tags: Sequence[str], columns: Sequence[str] = (), *, name: str) -> tuple[str, ...]:
    """The tags that right answers share with the reference unless a wish changes them.

    Args:
        keep: as the user names them; None: the garment's, looked for among the tags, then among all columns.
        tags: of the catalogue as it was opened.
        columns: all that it has.
        name: of the catalogue, for the message.

    Raises:
        InputError: no tags at all, or none to keep is named and none is known by its name.
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
