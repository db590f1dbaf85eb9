"""Converts products to rows of a Milvus collection, reporting or shortening what is too long."""

import base64
import io

import numpy as np
from PIL import Image, UnidentifiedImageError
from pymilvus import CollectionSchema, DataType, MilvusClient

from e2.adapters.search.milvus_filter import SEVERAL, listed
from e2.adapters.search.milvus_words import add_fields
from e2.adapters.search.store import Entry, IndexHit, Manifest
from e2.adapters.search.vector_types import TYPES
from e2.data.product import SEPARATOR, values_of
from e2.errors import InputError, printable
from e2.notes import say

WORD_BYTES, TEXT_BYTES = (
    4096,
    65_535,
)  # bytes of an id or a tag, of a description or a thumbnail; the latter is Milvus's own limit
MOST_LISTED = 4096  # values of a product's tags with several; the most Milvus takes
SMALLEST = 16  # smallest side that a thumbnail is reduced to


def column(entities: tuple[str, ...], entity: str) -> str:
    """Field of a tag: entities may have any name, fields may not."""
    return f"tag_{entities.index(entity)}"


def columns(entities: tuple[str, ...]) -> list[str]:
    return [column(entities, entity) for entity in entities]


def schema(manifest: Manifest, *, full_text: bool) -> CollectionSchema:
    fields = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    fields.add_field("product_id", DataType.VARCHAR, is_primary=True, max_length=WORD_BYTES)
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=manifest.dim)
    fields.add_field("digest", DataType.VARCHAR, max_length=64)
    for name in ("caption", "thumbnail"):
        fields.add_field(name, DataType.VARCHAR, max_length=TEXT_BYTES)
    for name in columns(manifest.entities):
        fields.add_field(name, DataType.VARCHAR, max_length=WORD_BYTES)
    each = {"element_type": DataType.VARCHAR, "max_length": 2 * WORD_BYTES}
    fields.add_field(SEVERAL, DataType.ARRAY, max_capacity=MOST_LISTED, **each)
    if full_text:
        add_fields(fields)
    return fields


def row_of(entry: Entry, manifest: Manifest) -> dict[str, object]:
    """Converts a product to a row. Too long a description is cut, too large a thumbnail reduced."""
    vector = np.asarray(entry.vector, np.float32)
    if vector.shape != (manifest.dim,):
        raise InputError(f"the index holds vectors of width {manifest.dim}, not of shape {vector.shape}")
    tags = {column(manifest.entities, entity): entry.tags.get(entity, "") for entity in manifest.entities}
    several = [text for name, tag in tags.items() if SEPARATOR in tag for text in listed(name, values_of(tag))]
    words = {"id": entry.product_id, **{f"tag {entity}": entry.tags.get(entity, "") for entity in manifest.entities}}
    for what, text in words.items():
        if (size := _size(entry, what, text)) > WORD_BYTES:
            raise InputError(f"{_named(entry)}: its {what} has {size:,} bytes; an index on Milvus takes {WORD_BYTES:,}")
    return {
        "product_id": entry.product_id,
        "vector": TYPES[manifest.vector_type].rounded(vector[None])[0],
        "digest": entry.digest,
        "caption": _fitting_caption(entry),
        "thumbnail": _fitting_thumbnail(entry),
        **tags,
        SEVERAL: several,
    }


def hit_of(row: dict, score: float, entities: tuple[str, ...]) -> IndexHit:
    named = {entity: row[column(entities, entity)] for entity in entities}
    return IndexHit(row["product_id"], score, row["caption"], {entity: value for entity, value in named.items() if value})


def bytes_of(row: dict) -> int:
    """Approximate size of a row on the wire."""
    return sum(value.nbytes if isinstance(value, np.ndarray) else 4 * len("".join(value)) for value in row.values())


def _size(entry: Entry, what: str, text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"{_named(entry)}: its {what} is not Unicode text") from error


def _named(entry: Entry) -> str:
    return f"product {printable(entry.product_id[:40])}"


def _fitting_caption(entry: Entry) -> str:
    if (size := _size(entry, "description", entry.caption)) <= TEXT_BYTES:
        return entry.caption
    line = f"{_named(entry)}: of its description of {size:,} bytes the first {TEXT_BYTES:,} were kept, the most Milvus takes"
    say(line)
    return entry.caption.encode()[:TEXT_BYTES].decode(errors="ignore")


def _fitting_thumbnail(entry: Entry) -> str:
    """Encodes a thumbnail in base64; noisy ones, which JPEG cannot compress, with fewer pixels."""
    jpeg = entry.thumbnail
    while len(text := base64.b64encode(jpeg).decode()) > TEXT_BYTES:
        try:
            with Image.open(io.BytesIO(jpeg)) as image:
                if max(image.size) <= SMALLEST:
                    raise InputError(f"{_named(entry)}: its thumbnail does not fit in {TEXT_BYTES:,} bytes")
                smaller = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)))
        except (OSError, UnidentifiedImageError) as error:
            raise InputError(f"{_named(entry)}: its thumbnail of {len(jpeg):,} bytes is too long, and no image") from error
        contents = io.BytesIO()
        smaller.save(contents, "JPEG", quality=85)
        jpeg = contents.getvalue()
    return text
