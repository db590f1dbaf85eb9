"""Runs the app's models: text and photo vectors, tags, selections, captions, composed queries."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from e2.adapters.captioning.captioner import Captioner
from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.baselines import TEXT_WEIGHT, slerp
from e2.adapters.composed.cirevl import CIReVL
from e2.adapters.composed.reference_captions import OurCaptions
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.slots import SlotFilling
from e2.adapters.encoder import Encoder
from e2.adapters.search.app.batching import ModelThread, Remembered
from e2.adapters.search.app.photos import SentPhoto
from e2.adapters.search.keeping import Reference
from e2.adapters.search.photos import Look, QueryPhotos
from e2.adapters.search.queries import IndexQuery, careful
from e2.adapters.tag_reader import TagReader
from e2.errors import InputError

KEPT = 4096  # texts, and photos, whose vectors are cached: about 10 MB at 512 numbers each
BLEND = "slerp"  # the method with a weight; it needs no composer, so each query may have its own weight
RUNNERS_UP = 3  # values of an entity shown for a photo, nearest first


class Models:
    """Encoder, captioner and composers, for many threads at once.

    Args:
        vocabulary: entity -> values for reading tags and parsing wishes; empty for a catalogue without tags.
        captioner: of the same encoder; None = no captions.
        composers: further methods, fitted to the encoder; a fitted ``slots`` replaces the plain one.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Mapping[str, Sequence[str]],
        captioner: Captioner | None = None,
        composers: Sequence[Composer] = (),
    ):
        self.encoder, self.captioner, self._fitted = encoder, captioner, composers
        self._thread = thread = ModelThread()
        self.text = Remembered(thread.batched(self._texts), str, KEPT)
        self.look = Remembered(thread.batched(self._looks), lambda photo: photo.digest, KEPT)
        self.selections = thread.batched(self._selections, most=8)
        self._captioned = thread.batched(self._captions, most=8)
        self.caption: Remembered[SentPhoto, str] = Remembered(
            lambda photo: self._captioned(self.look(photo)), lambda photo: photo.digest, KEPT
        )
        self._read(vocabulary)

    def with_vocabulary(self, vocabulary: Mapping[str, Sequence[str]]) -> "Models":
        """Returns the models for a changed catalogue, with cached results for texts and photos."""
        other = copy.copy(self)

        def take_in(vocabularies: list[Mapping[str, Sequence[str]]]) -> list["Models"]:
            other._read(vocabularies[0])
            return [other]

        return self._thread.batched(take_in, most=1)(vocabulary)

    def _read(self, vocabulary: Mapping[str, Sequence[str]]) -> None:
        """Embeds a vocabulary; only before other threads start, or in the models' thread."""
        self.vocabulary = {entity: list(values) for entity, values in vocabulary.items()}
        self.editor = RuleEditor(vocabulary)
        slots = next((c for c in self._fitted if isinstance(c, SlotFilling)), None)
        if slots is None and vocabulary:
            slots = SlotFilling(self.encoder, vocabulary)
        self.reader: TagReader | None = slots.reader if slots else None
        rewriting = CIReVL(self.encoder, OurCaptions(self.captioner), self.editor) if self.captioner else None
        methods = [slots, rewriting, *(c for c in self._fitted if c is not slots)]
        self.composers: dict[str, Composer] = {c.name: c for c in methods if c is not None}
        self._composed = {  # single photos apart from several, whose pixels no method can read
            (name, single): self._thread.batched(_composing(composer))
            for name, composer in self.composers.items()
            for single in (True, False)
        }

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods for a photo and a wish, the default first: our best measured, if available."""
        return (*self.composers, BLEND)

    @property
    def colour(self) -> str | None:
        """The vocabulary's entity of colours; None without one."""
        entity = self.editor.lexicon.kind("colour")
        return entity if entity in self.vocabulary else None

    def compose(
        self,
        method: str,
        photos: QueryPhotos,
        wish: str,
        tags: Mapping[str, str],
        near: Mapping[str, str],
        weight: float = TEXT_WEIGHT,
    ) -> IndexQuery:
        """Composes a query from photos and a wish.

        Args:
            method: one of `methods`.
            photos: those of the query.
            wish: what should differ.
            tags: `tags_of_photos`.
            near: `near_tags` of the photos.
            weight: of ``slerp``: 0 = only the photo, 1 = only the words.
        """
        if method == BLEND:
            found = Composed(slerp(photos.look.features[None], self.text(wish)[None], weight))
        elif method not in self.composers:
            raise InputError(f"there is no method {method!r} here; choose {', '.join(self.methods)}")
        else:
            found = self._composed[method, photos.image is not None]((photos, wish, tags))
        return self._careful(found, Reference(wish, self.editor, tags, near)).begun(photos)

    def read_tags(self, photo: SentPhoto) -> dict[str, list[tuple[str, float]]]:
        """Reads the nearest values of each entity with their cosines, nearest first; empty for a catalogue without tags."""
        if self.reader is None:
            return {}
        look = self.look(photo)
        scores = self.reader.scores(look.features[None], None if look.regions is None else look.regions[None])
        nearest = {entity: np.argsort(-found[0], kind="stable")[:RUNNERS_UP] for entity, found in scores.items()}
        return {
            entity: [(self.reader.vocabulary[entity][row], float(scores[entity][0, row])) for row in rows]
            for entity, rows in nearest.items()
        }

    def _careful(self, found: Composed, reference: Reference) -> IndexQuery:
        """Makes the query of one wish avoid what the wish rejects, and keep what it does not name."""
        encode = lambda texts: np.stack([self.text(text) for text in texts])  # noqa: E731 - remembered ones
        return careful(found, reference, encode, self.vocabulary)

    def _texts(self, texts: list[str]) -> list[np.ndarray]:
        return list(self.encoder.encode_texts(texts, progress=False))

    def _looks(self, photos: list[SentPhoto]) -> list[Look]:
        images = [photo.jpeg for photo in photos]
        if not self.encoder.tags:
            return [Look(features, None) for features in self.encoder.encode_images(images, progress=False)]
        both = self.encoder.encode_images_and_regions(images, progress=False)
        return [Look(features, regions) for features, regions in zip(*both, strict=True)]

    def _selections(self, photos: list[SentPhoto]) -> list[dict[str, dict[int, np.ndarray]]]:
        """Selections of each photo: entity -> {fusion layer: weight of each patch (rows, columns), over its tokens}."""
        if not self.encoder.selects:
            return [{} for _ in photos]
        chosen = self.encoder.selections([photo.jpeg for photo in photos])
        return [
            {entity: {layer: w[row].sum(axis=0) for layer, w in layers.items()} for entity, layers in chosen.items()}
            for row in range(len(photos))
        ]

    def _captions(self, looks: list[Look]) -> list[str]:
        if self.captioner is None:
            raise InputError("this app was started without a captioner; start it by e2 app --captioner FOLDER")
        return self.captioner.caption_features(*_stacked(looks))


def _composing(composer: Composer) -> Callable[[list[tuple[QueryPhotos, str, Mapping[str, str]]]], list[Composed]]:
    """Makes a function that asks a composer: N (photos, wish, own tags) -> N separate queries."""

    def run(items: list[tuple[QueryPhotos, str, Mapping[str, str]]]) -> list[Composed]:
        photos, wishes, tags = zip(*items, strict=True)
        images = [each.image for each in photos if each.image is not None] or None
        references = References(composer.encoder, images, *_stacked([each.look for each in photos]), tags=tags)
        return composer.composed(references, list(wishes)).separate()

    return run


def _stacked(looks: Sequence[Look]) -> tuple[np.ndarray, np.ndarray | None]:
    """Stacks N looks: (N, D) features and (N, E, D) regions, or None."""
    regions = [look.regions for look in looks if look.regions is not None]
    assert len(regions) in (0, len(looks))  # one encoder made them all
    return np.stack([look.features for look in looks]), np.stack(regions) if regions else None
