"""Reads Amazon Reviews metadata, one JSON object per line in either layout, as listings or reasons for rejection.

- 2018 (J. Ni, J. Li, J. McAuley: Justifying Recommendations using Distantly-Labeled Reviews, EMNLP 2019): ``asin``, ``title``,
  ``brand``, ``imageURL`` and ``imageURLHighRes``; in the first release ``image``, thumbnails only.
- 2023 (Y. Hou et al.: Bridging Language and Items for Retrieval and Recommendation, arXiv:2403.03952): ``parent_asin``,
  ``title``, ``store``, ``images`` of ``hi_res``, ``large``, ``thumb`` and ``variant``, and ``details``.
"""

import gzip
import itertools
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2.data.amazon.brands import brand_key, clean_brand, is_placeholder, plain_text
from e2.data.dialect import open_bytes
from e2.errors import InputError
from e2.json_once import loads_once

MIN_TITLE_WORDS = 3
PAGE_CODE = re.compile(r"getTime|function\s*\(|\bvar\s+\w+\s*=")  # scripts of the page that were scraped as a title
SIZE_MODIFIER = re.compile(r"\._[^/]*_(?=\.\w+$)")  # in .../I/41Gl4._US40_.jpg; without it the shop serves the whole photo
URL = re.compile(r"https?://[^\s/]+/\S*")


@dataclass(frozen=True)
class Listing:
    """A product that is usable if one of its photos can be fetched."""

    product_id: str
    title: str
    brand: str
    photos: tuple[tuple[str, ...], ...]  # for each view the URLs of its photo, best first; at least one


class Unusable(Exception):
    """A line that gives no listing; the message is a short reason."""


def read_lines(file: Path) -> Iterator[bytes]:
    """Yields the lines of a metadata file, plain or gzip (detected by content)."""
    number = 0
    try:
        with open_bytes(file) as lines:
            for line in lines:
                number += 1
                if not line.isspace():
                    yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{file}: damaged after line {number:,} ({error}); download it again") from error
    except OSError as error:
        raise InputError(f"--meta {file}: cannot be read ({error.strerror}); name meta_AMAZON_FASHION.jsonl[.gz]") from error


def listing_of(line: bytes) -> Listing:
    """Parses a line into a listing.

    Raises:
        Unusable: it is damaged, or lacks something.
    """
    try:
        row = loads_once(line)
    except (ValueError, RecursionError):
        raise Unusable("malformed line") from None
    if not isinstance(row, dict):
        raise Unusable("malformed line")
    product_id = plain_text(_text(row.get("parent_asin")) or _text(row.get("asin")))
    if not product_id:
        raise Unusable("no id")
    return Listing(product_id, _title(row), _brand(row), _photos(row))


def _title(row: dict[str, Any]) -> str:
    raw = _text(row.get("title"))
    title = plain_text(raw)
    if PAGE_CODE.search(raw) or (raw and not title):
        raise Unusable("broken title")
    if not title:
        raise Unusable("no title")
    if len(title.split()) < MIN_TITLE_WORDS:
        raise Unusable("title too short")
    return title


def _brand(row: dict[str, Any]) -> str:
    details = row.get("details")
    details = details if isinstance(details, dict) else {}
    given = (row.get("brand"), row.get("store"), details.get("Brand"), details.get("Brand Name"))
    brands = [brand for brand in map(clean_brand, map(_text, given)) if brand_key(brand)]
    named = next((brand for brand in brands if not is_placeholder(brand_key(brand))), None)
    if named is None:
        raise Unusable("placeholder brand" if brands else "no brand")
    return named


def _photos(row: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    views = _views_2023(row["images"]) if isinstance(row.get("images"), list) else _views_2018(row)
    photos = tuple(urls for view in views if (urls := tuple(dict.fromkeys(url for url in view if URL.fullmatch(url)))))
    if not photos:
        raise Unusable("no photo")
    return photos


def _views_2023(images: list[Any]) -> Iterator[tuple[str, ...]]:
    """Yields the photo URLs of each view; ``large`` (about 500 pixels) comes first: ``hi_res`` has several times the bytes."""
    entries = [image for image in images if isinstance(image, dict)]
    for image in sorted(entries, key=lambda image: image.get("variant") != "MAIN"):
        yield _text(image.get("large")), _text(image.get("hi_res")), _whole(_text(image.get("thumb")))


def _views_2018(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    large, small = _texts(row.get("imageURLHighRes")), _texts(row.get("imageURL")) or _texts(row.get("image"))
    for one, other in itertools.zip_longest(large, small, fillvalue=""):
        yield one, _whole(other)


def _whole(thumbnail: str) -> str:
    """URL of the photo that a thumbnail was made from."""
    return SIZE_MODIFIER.sub("", thumbnail)


def _texts(value: Any) -> Sequence[str]:
    return [_text(item) for item in value] if isinstance(value, list) else [_text(value)] if value else []


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
