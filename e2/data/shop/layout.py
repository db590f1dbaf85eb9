"""Layouts of shop systems' exports: which of their fields hold what, under our names.

Sources: Shopify's help, "Using CSV files to import and export products", with the headers used until 2024 and since; Google
Merchant Center's "Product data specification".
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ID, IMAGE, TITLE, DESCRIPTION, POSITION = "product_id", "image", "title", "description", "image position"
VISIBLE = ("brand", "product_type", "colour", "material", "pattern", "gender", "age_group")  # tags unless others are named


@dataclass(frozen=True)
class Layout:
    """Layout of a kind of export."""

    fields: Mapping[str, str] = field(default_factory=dict)  # name in the export, in lower case -> ours
    others: bool = True  # fields not listed are kept under their own names
    by_id: bool = False  # rows of one id are photos and variants of one product
    separators: Mapping[str, str] = field(default_factory=dict)  # our name -> what stands between its values
    tags: Sequence[str] = ()  # default entities, as far as there are any
    files_may_be_named: bool = True  # photos may be addresses of files (file://)

    def name(self, given: str) -> str | None:
        """Our name of a field; None if it is not kept."""
        plain = " ".join(given.split()).casefold().removeprefix("g:")
        if plain in self.fields:
            return self.fields[plain]
        if found := METAFIELD.fullmatch(plain) or NAMED.fullmatch(plain):
            return COLOURS.get(found[1], found[1])
        return given if self.others else None


OPTION = "option:"  # begins the name of a field that the export names in a cell of its own (Option1 Name: Color)
NAMED = re.compile(rf"{OPTION}(.+)", re.DOTALL)
METAFIELD = re.compile(r"(.+) \(product\.metafields\..+\)")
COLOURS = {"color": "colour", "colors": "colour", "colours": "colour"}
SHOPIFY = Layout(
    {
        **dict.fromkeys(("handle", "url handle"), ID),
        "title": TITLE,
        **dict.fromkeys(("body (html)", "body_html", "description"), DESCRIPTION),
        "vendor": "brand",
        **dict.fromkeys(("type", "product_type", "custom product type"), "product_type"),
        **dict.fromkeys(("product category", "standardized product type"), "category"),
        "tags": "tags",
        "status": "status",
        "image position": POSITION,
        **dict.fromkeys(("variant price", "price"), "price"),
        **dict.fromkeys(("image src", "product image url", "images", "image"), IMAGE),
        **dict.fromkeys(("variant image", "variant image url"), IMAGE),
        **{f"google shopping / {name.replace('_', ' ')}": name for name in ("gender", "age_group")},
        **COLOURS,
    },
    others=False,
    by_id=True,
    separators={"tags": ","},
    tags=VISIBLE,
    files_may_be_named=False,
)
MERCHANT = Layout(
    {
        "id": ID,
        **dict.fromkeys(("image_link", "image link", "additional_image_link", "additional image link"), IMAGE),
        "title": TITLE,
        "description": DESCRIPTION,
        "product type": "product_type",
        "google product category": "google_product_category",
        "age group": "age_group",
        "item group id": "item_group_id",
        "size system": "size_system",
        **COLOURS,
        **{
            name: name
            for name in ("brand", "gender", "age_group", "material", "pattern", "size", "product_type", "price", "sale_price")
            + ("google_product_category", "item_group_id", "condition", "availability", "product_highlight", "size_type")
            + tuple(f"custom_label_{number}" for number in range(5))
        },
    },
    others=False,
    separators={"colour": "/", "material": "/"},
    tags=VISIBLE,
    files_may_be_named=False,
)
TABLE = Layout()
LAYOUTS = {"shopify": SHOPIFY, "merchant": MERCHANT, "table": TABLE}
USUAL = {  # names that shops use, likeliest first
    ID: (ID, "id", "handle", "url handle", "sku", "asin", "slug", "parent_id", "item_id", "productid", "article_id"),
    IMAGE: (IMAGE, "images", "image_link", "image src", "image_url", "image_urls", "imageurl", "photo", "photos", "picture")
    + ("img", "image_path", "path", "additional_image_link"),
    TITLE: (TITLE, "name", "product_name", "product_title", "productdisplayname"),
    DESCRIPTION: (DESCRIPTION, "body_html", "body (html)", "body", "short_description", "short description", "text"),
}


def guessed(names: Sequence[str], role: str) -> str | None:
    """First field that by its name plays a role, in any case; None if there is none."""
    plain = {name.casefold(): name for name in reversed(names)}
    return next((plain[usual] for usual in USUAL[role] if usual in plain), None)
