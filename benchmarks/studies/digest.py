"""Hashes of a study's ingredients: training products and code."""

import hashlib
import json
from functools import cache
from importlib import import_module
from pathlib import Path

from e2.data import Catalogue


def catalogue_digest(catalogue: Catalogue) -> str:
    """Hash that changes with any id, text, tag or photo of the split and with their order, but not with their location."""
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
    """Hash of all Python files of some of our packages, e.g. ``"e2.adapters"``."""
    digest = hashlib.sha256()
    for package in packages:
        root = Path(import_module(package).__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root)}".encode() + path.read_bytes())
    return digest.hexdigest()
