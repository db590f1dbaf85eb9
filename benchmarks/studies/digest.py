"""What names a study's ingredients: hashes of the products that were learned from, and of the code."""

import hashlib
import json
from functools import cache
from pathlib import Path

from e2.data import Catalogue

ROOT = Path(__file__).parents[2]


def catalogue_digest(catalogue: Catalogue) -> str:
    """Changes with any id, text, tag or photo of the split, and with their order; not with where they lie."""
    digest = hashlib.sha256()
    for row in range(len(catalogue)):
        product = catalogue[row]
        words = [product.product_id, *product.captions, sorted(product.tags.items()), len(product.images)]
        digest.update(json.dumps(words).encode())
        for image in product.images:
            digest.update(hashlib.sha256(image.read_bytes() if isinstance(image, Path) else image).digest())
    return digest.hexdigest()


@cache
def code_digest(*packages: str) -> str:
    """Of all Python files of some of our packages, e.g. ``"e2"``."""
    digest = hashlib.sha256()
    for path in sorted(path for package in packages for path in (ROOT / package).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
