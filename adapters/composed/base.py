"""Interface of composed retrieval: a photo and a wish ("this one, but red") give one query vector.

Query vectors are in the encoder's own space, so they find photos as well as texts.
"""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from e2.adapters.composed.presets import QueryPreset, query_preset
from e2.adapters.composed.rewriting import Rewriting
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.adapters.unit_vectors import normalised
from e2.errors import InputError
from e2.finite import require_finite

Wish = str | Sequence[str]  # several captions of one wish (FashionIQ) are joined by the composer's preset
LONGEST_WISH = 1000  # characters; a text tower reads about 300


@dataclass(frozen=True)
class Composed:
    """Composed queries."""

    vectors: np.ndarray  # (N, D)
    steps: list[dict[str, Any]] = field(default_factory=list)  # steps of each query, in words; may be empty
    rewritings: list[Rewriting] = field(default_factory=list)  # rewriting of each reference's caption, if the method rewrites

    def separate(self) -> "list[Composed]":
        """Splits N queries into N of one each."""
        return [
            Composed(self.vectors[[row]], self.steps[row : row + 1], self.rewritings[row : row + 1])
            for row in range(len(self.vectors))
        ]


class References:
    """Reference photos of N queries; features are computed on demand and kept.

    Args:
        encoder: the encoder.
        images: N photos, or None if the features are given.
        features: (N, D) normalised image embeddings, if available.
        regions: (N, E, D) normalised region embeddings, if available.
        tags: tags of each photo's product, so that none need be read off it; empty: unknown.
    """

    def __init__(
        self,
        encoder: Encoder,
        images: Sequence[ImageSource] | None,
        features: np.ndarray | None = None,
        regions: np.ndarray | None = None,
        *,
        tags: Sequence[Mapping[str, str]] = (),
    ):
        if images is None and features is None:
            raise InputError("a composed query needs reference photos or their features; there are neither")
        self.encoder, self._images, self.tags = encoder, images, tags
        self._kept: dict[Any, Any] = {}
        if features is not None:
            self.features = _checked(features, images)
        if regions is not None:
            self.regions = np.asarray(regions, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.features if self._images is None else self._images)

    @property
    def images(self) -> Sequence[ImageSource]:
        """Photos themselves, for methods that need more than the image embedding."""
        if self._images is None:
            raise InputError("this method reads the reference photos themselves; image features alone are not enough")
        return self._images

    def once(self, owner: "Composer", make: Callable[[], Any]) -> Any:
        """Caches what a composer makes of the photos alone, for use in several caption orders."""
        if owner not in self._kept:
            self._kept[owner] = make()
        return self._kept[owner]

    @cached_property
    def features(self) -> np.ndarray:
        """(N, D), L2-normalised."""
        return self.encoder.encode_images(self.images)

    @cached_property
    def raw_features(self) -> np.ndarray:
        """Features (N, D) as the tower gives them."""
        return self.encoder.encode_images(self.images, normalize=False)

    @cached_property
    def regions(self) -> np.ndarray | None:
        """(N, E, D), L2-normalised; None for an encoder without entities."""
        return self.encoder.encode_regions(self.images) if self.encoder.tags else None


class Composer(ABC):
    """One method over one encoder.

    Args:
        encoder: any.
        preset: joins the captions of a wish and words the text around a pseudo-word; see :mod:`e2.adapters.composed.presets`.

    Attributes:
        name: the method's name for users.
        trained: whether the method must be fitted first.
        needs_text: whether it needs a wish.
    """

    name: ClassVar[str]
    trained: ClassVar[bool] = False
    needs_text: ClassVar[bool] = True
    default_preset: ClassVar[str] = "bare"

    def __init__(self, encoder: Encoder, *, preset: str | None = None):
        self.encoder = encoder
        self.preset: QueryPreset = query_preset(preset or self.default_preset)

    @property
    def info(self) -> dict[str, Any]:
        """Facts for every result: method, preset and settings."""
        return {"method": self.name, "preset": self.preset.name}

    def compose(
        self,
        images: Sequence[ImageSource] | None,
        texts: Sequence[Wish],
        *,
        image_features: np.ndarray | None = None,
        region_features: np.ndarray | None = None,
    ) -> np.ndarray:
        """Composes N references and N wishes to (N, D) L2-normalised float32 query vectors.

        Args:
            images: N photos; may be None if ``image_features`` suffice for the method.
            texts: N wishes; one of several captions is a sequence of them.
            image_features: (N, D) normalised, from the same encoder.
            region_features: (N, E, D) normalised, from the same encoder.

        Raises:
            InputError: an empty or overlong wish, different numbers of wishes and references, an unreadable photo.
        """
        references = References(self.encoder, images, image_features, region_features)
        return self.composed(references, texts).vectors

    def composed(self, references: References, texts: Sequence[Wish]) -> Composed:
        """Composes the queries, with every step in words. If the preset has several caption orders, their queries are
        averaged.
        """
        if not len(references):
            raise InputError("there are no reference photos to compose queries from")
        if len(texts) != len(references):
            raise InputError(f"{len(references)} reference photos but {len(texts)} wishes; each query needs one of both")
        parts = [self._compose(references, wishes) for wishes in self._orders(texts)]
        vectors = [normalised(part.vectors) for part in parts]
        return replace(parts[0], vectors=vectors[0] if len(vectors) == 1 else normalised(np.sum(vectors, axis=0)))

    def _orders(self, texts: Sequence[Wish]) -> list[list[str]]:
        """Wishes in each caption order; a single order if no wish has several captions."""
        joined = [[text] if isinstance(text, str) else self.preset.join(text) for text in texts]
        orders = max(map(len, joined))
        rows = [wishes if len(wishes) == orders else wishes * orders for wishes in joined]
        if self.needs_text:
            for number, wishes in enumerate(rows):
                if fault := wish_fault(wishes[0]):
                    raise InputError(f"the wish of query {number} {fault}")
        return [list(order) for order in zip(*rows, strict=True)]

    @abstractmethod
    def _compose(self, references: References, wishes: list[str]) -> Composed:
        """Composes (N, D) vectors of any length for N references and N checked wishes."""


def wish_fault(wish: str) -> str | None:
    """Explains why a text cannot be a wish, and the remedy; None if it can."""
    if not any(unicodedata.category(letter)[0] in "LNS" for letter in wish):  # no letter, number or symbol
        return 'is empty; say what should differ, e.g. "is red and has a hood"'
    return f"has {len(wish):,} characters; keep it below {LONGEST_WISH:,}" if len(wish) > LONGEST_WISH else None


def _checked(features: np.ndarray, images: Sequence[ImageSource] | None) -> np.ndarray:
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2:
        raise InputError(f"image features must be an (N, D) array; these are {features.shape}")
    require_finite(features, "image features")
    if images is not None and len(images) != len(features):
        raise InputError(f"{len(images)} reference photos but features of {len(features)}")
    return features
