"""Collects what is scored: captions from captioners or files, and the references and tags of the products they describe."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from e2.adapters.captioning.files import own_ids, read_captions
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.benchmarks.captioning.tag_scores import TagVocabulary
from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError, printable

WORDS = re.compile(r"\w")

Look = tuple[np.ndarray, np.ndarray | None]  # image embeddings (N, D), region embeddings (N, E, D) where captions need them


class WritesCaptions(Protocol):
    """Interface of captioners, as in `e2.adapters.captioning`."""

    encoder: Encoder
    info: dict[str, Any]

    @property
    def reads_regions(self) -> bool: ...

    def look(self, images: Sequence[ImageSource]) -> Look: ...

    def caption_features(self, image_features: np.ndarray, region_features: np.ndarray | None) -> list[str]: ...


@dataclass(frozen=True)
class Candidate:
    """Captions to score."""

    captions: Mapping[str, str]  # product id -> caption
    info: dict[str, Any]  # their origin, ``path`` first
    failed: Mapping[str, str] = field(default_factory=dict)  # product id -> why it has none; it counts as an empty caption
    notes: tuple[str, ...] = ()  # notes for readers of the scores

    @classmethod
    def from_file(cls, path: str | Path) -> "Candidate":
        """Reads captions from a file; see `e2.adapters.captioning.files`."""
        file = read_captions(path)
        further = f"captions of further photos of a product, not scored: {file.further:,}"
        return cls(file.captions, {"path": str(path), "method": "file"}, file.failed, (further,) if file.further else ())


@dataclass(frozen=True)
class CaptionTruth:
    """Ground truth for captions: P products in the catalogue's order, and the values that tags can have."""

    catalogue: ArrowCatalogue | Subset
    product_ids: list[str]
    references: list[list[str]]
    tags: list[Mapping[str, str]]
    vocabulary: TagVocabulary
    of: int  # products of the split, of which these are a part

    def only(self, rows: Sequence[int]) -> "CaptionTruth":
        """Selects some of the products."""
        return replace(
            self,
            catalogue=Subset(self.catalogue, rows),
            product_ids=[self.product_ids[row] for row in rows],
            references=[self.references[row] for row in rows],
            tags=[self.tags[row] for row in rows],
        )


def read_truth(
    catalogue: ArrowCatalogue | Subset,
    text: str = "caption",
    *,
    further: Sequence[Catalogue] = (),
    skip_wordless: bool = False,
) -> CaptionTruth:
    """Reads the catalogue's texts and tags in one pass.

    Args:
        catalogue: the split to evaluate on.
        text: the references, ``caption`` or ``full``.
        further: other splits, whose tag values a caption may name wrongly.
        skip_wordless: leave out products without a word in any reference, instead of refusing.

    Raises:
        InputError: an unknown kind of text, no products, or products without a word in their references.
    """
    require_text(text)
    products = list(without_photos(catalogue))
    references = [[product.text(text, i) for i in range(len(product.captions))] for product in products]
    kept = [row for row, texts in enumerate(references) if any(map(WORDS.search, texts))]
    if not kept or (len(kept) < len(products) and not skip_wordless):
        wordless = next((p.product_id for row, p in enumerate(products) if row not in set(kept)), "none is there")
        count = len(products) - len(kept)
        raise InputError(
            f"{catalogue.name} split {catalogue.split}: {count:,} of {len(products):,} products have no word in their "
            f"references (first: {wordless}); fix them, or leave them out by --on-bad-row skip"
        )
    ids, tags = [p.product_id for p in products], [p.tags for p in products]
    vocabulary = TagVocabulary([*tags, *(p.tags for other in further for p in without_photos(other))])
    truth = CaptionTruth(catalogue, ids, references, tags, vocabulary, of=len(products))
    return truth if len(kept) == len(products) else truth.only(kept)


def captioned_by_all(candidates: Sequence[Candidate | WritesCaptions], truth: CaptionTruth) -> CaptionTruth:
    """Selects the products that every file of captions covers, for comparison.

    Raises:
        InputError: there are none.
    """
    files = [candidate for candidate in candidates if isinstance(candidate, Candidate)]
    rows = [row for row, name in enumerate(truth.product_ids) if all(name in f.captions or name in f.failed for f in files)]
    if not rows:
        require_captions(files[0], truth)  # says which ids the file has
        raise InputError("no product has a caption in every file; score them apart")
    return truth if len(rows) == len(truth.product_ids) else truth.only(rows)


def require_captions(candidate: Candidate, truth: CaptionTruth) -> None:
    """Refuses captions that leave out a product of the truth."""
    missing = [name for name in truth.product_ids if name not in candidate.captions and name not in candidate.failed]
    if missing:
        own = own_ids([*candidate.captions, *candidate.failed], missing[0])
        raise InputError(
            f"{candidate.info['path']} has no caption for {len(missing):,} of {len(truth.product_ids):,} products of "
            f"{truth.catalogue.name} split {truth.catalogue.split} (first: {printable(missing[0])}; its own ids: {own}); "
            "check --data and --split, or score those that are there by --missing skip"
        )
