"""Sampled candidate lists ("sample-100"): each query against its positive and 100 negatives of the same sub-category.

Two published rules, and one for catalogues without sub-categories; their results differ:

- ``fame-vil`` (FAME-ViL, `RecallAtK_kaleido`): 1,000 random queries per direction, over all photos or all texts; one random
  positive of the query's product; negatives are photos or texts of other products, several of one product allowed. If the
  sub-category has too few, random ones of other sub-categories fill the list.
- ``authors`` (E2, `fashiongen_eval_sample.py`): each product has one random photo and one random text; at most 100 other
  products of the sub-category, without fill, so lists of small sub-categories are shorter (and easier).
- ``any``: as ``fame-vil``, with negatives from the whole split. For AmazonFashion, which has no sub-categories; easier, as
  most negatives are other kinds of garment. E2's paper does not give its rule there.

All are drawn from a seed and can be saved, so that models are compared on the same lists.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from e2.errors import InputError, require_choice
from e2.files import atomic_path

RULES = ("fame-vil", "authors", "any")
QUERIES, NEGATIVES, RUNS = 1000, 100, 5


@dataclass(frozen=True)
class CandidateGallery:
    """Items to draw from: the product of each image and text, as row numbers of the catalogue.

    Attributes:
        image_products: (I,) int64.
        text_products: (T,) int64.
        categories: (P,) one sub-category per product.
    """

    image_products: np.ndarray
    text_products: np.ndarray
    categories: Sequence[str]

    def fingerprint(self) -> str:
        """Hash of the gallery: candidate lists are row numbers, invalid for another catalogue."""
        digest = hashlib.sha256("\n".join(self.categories).encode())
        digest.update(self.image_products.astype("<i8").tobytes() + self.text_products.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class CandidateLists:
    """Candidate lists of all runs, both directions.

    Attributes:
        image_queries: (R, Q) rows of images.
        text_candidates: (R, Q, 101) rows of texts: the positive, then the negatives; -1 where a list is shorter.
        text_queries: (R, Q') rows of texts.
        image_candidates: (R, Q', 101) rows of images.
        rule: one of `RULES`.
        gallery: fingerprint of their gallery.
    """

    image_queries: np.ndarray
    text_candidates: np.ndarray
    text_queries: np.ndarray
    image_candidates: np.ndarray
    rule: str
    gallery: str

    def save(self, path: str | Path) -> None:
        """Writes a NumPy ``.npz`` without pickles."""
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **asdict(self))


def load_candidates(path: str | Path, gallery: CandidateGallery) -> CandidateLists:
    """Reads saved lists.

    Raises:
        InputError: not such a file, or drawn from another catalogue.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            fields = {name: arrays[name] for name in CandidateLists.__dataclass_fields__}
    except Exception as error:  # zipfile, numpy and the file system each have their own
        raise InputError(f"{path} holds no candidate lists; give a candidates.npz that an evaluation wrote") from error
    lists = CandidateLists(**{**fields, "rule": str(fields["rule"]), "gallery": str(fields["gallery"])})
    if lists.gallery != gallery.fingerprint():
        raise InputError(f"{path} was drawn from another catalogue or split; draw new lists by leaving it out")
    return lists


def draw_candidates(gallery: CandidateGallery, *, rule: str = "fame-vil", seed: int = 0, runs: int = RUNS) -> CandidateLists:
    """Draws the lists of all runs; run r depends on the seed and r only.

    Raises:
        InputError: unknown rule, or too few products to fill a list.
    """
    require_choice("rule", rule, RULES)
    drawn = [_draw_run(gallery, rule, np.random.default_rng([seed, run])) for run in range(runs)]
    image_queries, text_candidates, text_queries, image_candidates = (np.stack(part) for part in zip(*drawn, strict=True))
    return CandidateLists(
        image_queries, text_candidates, text_queries, image_candidates, rule=rule, gallery=gallery.fingerprint()
    )


def _draw_run(gallery: CandidateGallery, rule: str, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Draws one run: image queries, their texts, text queries, their images."""
    categories = np.unique(np.asarray(gallery.categories), return_inverse=True)[1]
    if rule == "any":
        categories = np.zeros_like(categories)
    images, texts = np.arange(len(gallery.image_products)), np.arange(len(gallery.text_products))
    if rule == "authors":
        images, texts = _one_each(gallery.image_products, rng), _one_each(gallery.text_products, rng)
    image_side = _Side(images, gallery.image_products, categories)
    text_side = _Side(texts, gallery.text_products, categories)
    fill = rule != "authors"
    return (*_draw_lists(image_side, text_side, fill, rng), *_draw_lists(text_side, image_side, fill, rng))


def _one_each(products: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One random row of each product."""
    order = rng.permutation(len(products))
    return np.sort(order[np.unique(products[order], return_index=True)[1]])


class _Side:
    """The images or texts to draw from: rows, their products and sub-categories."""

    def __init__(self, rows: np.ndarray, products: np.ndarray, categories: np.ndarray):
        self.rows, self.products = rows, products[rows]
        self.categories = categories[self.products]
        self.members = [np.flatnonzero(self.categories == c) for c in range(categories.max() + 1)]

    def of_product(self, product: int, category: int) -> np.ndarray:
        members = self.members[category]
        return members[self.products[members] == product]

    def negatives(self, product: int, category: int, fill: bool, rng: np.random.Generator) -> np.ndarray:
        """Draws up to ``NEGATIVES`` rows of other products."""
        members = self.members[category]
        pool = members[self.products[members] != product]
        if len(pool) >= NEGATIVES:
            return rng.choice(pool, NEGATIVES, replace=False)
        if not fill:
            return rng.permutation(pool)
        others = np.flatnonzero(self.categories != category)
        if len(pool) + len(others) < NEGATIVES:
            raise InputError(
                f"sample-100 needs {NEGATIVES} candidates of other products, the split has {len(pool) + len(others)}; "
                "choose --protocol full, or the rule `authors`"
            )
        return np.concatenate([pool, rng.choice(others, NEGATIVES - len(pool), replace=False)])


def _draw_lists(queries: _Side, gallery: _Side, fill: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) query rows and (Q, 101) gallery rows."""
    chosen = rng.choice(len(queries.rows), min(QUERIES, len(queries.rows)), replace=False)
    lists = np.full((len(chosen), 1 + NEGATIVES), -1, dtype=np.int64)
    for line, query in zip(lists, chosen, strict=True):
        product, category = queries.products[query], queries.categories[query]
        line[0] = gallery.rows[rng.choice(gallery.of_product(product, category))]
        negatives = gallery.rows[gallery.negatives(product, category, fill, rng)]
        line[1 : 1 + len(negatives)] = negatives
    return queries.rows[chosen], lists
