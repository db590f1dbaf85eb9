"""Slot filling: reads the reference's tags by the region embeddings, changes those in the wish, and queries with them.

Suits E2, whose regions read tags; with a plain CLIP the tags are read from the image embedding.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.rule_editor import RuleEditor, worded
from e2.adapters.encoder import Encoder, images_and_regions
from e2.adapters.product_images import ProductImages
from e2.adapters.sizes import shown_in_photos
from e2.adapters.tag_reader import TagReader, several_valued, tag_vocabulary
from e2.adapters.unit_vectors import normalised
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError

CALIBRATION = 2000  # most products to calibrate thresholds on


class SlotFilling(Composer):
    """Moves the image by the change of its tags' text, and mixes in the text of the changed tags.

    With i the image, o and n the texts of the tags before and after the wish, and w the text weight, all of unit length, the
    query is (1 - w) (i + n - o) + w n.

    Args:
        vocabulary: entity -> values, see :func:`e2.adapters.tag_reader.tag_vocabulary`.
        thresholds, several: of the tag reader.
        text_weight: w: 0 = only the moved image, 1 = only the tags' text.
        preset: joins several captions of a wish.

    Wishes for other things than tags (a hood) follow the tags; words that are not understood are left out.
    """

    name = "slots"

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Mapping[str, Sequence[str]],
        *,
        thresholds: dict[str, float] | None = None,
        several: Collection[str] = (),
        text_weight: float = 0.5,
        preset: str | None = None,
    ):
        super().__init__(encoder, preset=preset)
        if not 0 <= text_weight <= 1:
            raise InputError(f"the text weight of slot filling must lie in 0..1, not {text_weight}")
        self.reader = TagReader(encoder, vocabulary, thresholds=thresholds, several=several)
        self.editor = RuleEditor(self.reader.vocabulary)
        self.text_weight = text_weight

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, "text_weight": self.text_weight, "entities": list(self.reader.vocabulary)}

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        vocabulary = self.reader.vocabulary
        if references.tags:
            read = [{entity: tags[entity] for entity in vocabulary if entity in tags} for tags in references.tags]
        else:
            read = self.reader.read(references.features, references.regions)
        edited, texts = zip(*(self.editor.edit_tags(tags, wish) for tags, wish in zip(read, wishes, strict=True)), strict=True)
        before = self.encoder.encode_texts([" ".join(map(worded, tags.values())) for tags in read])
        after = self.encoder.encode_texts(texts)
        mixed = (1 - self.text_weight) * (references.features + after - before) + self.text_weight * after
        steps = [
            {"tags": tags, "changed": changed, "text": str(text), **text.steps}
            for tags, changed, text in zip(read, edited, texts, strict=True)
        ]
        return Composed(normalised(mixed), steps, list(texts))


def calibrated_slots(
    encoder: Encoder, catalogue: Catalogue, *, precision: float = 0.5
) -> tuple[SlotFilling, dict[str, Any], dict[str, Any]]:
    """Makes slot filling with a catalogue's vocabulary, and thresholds that reach the precision on it.

    Args:
        catalogue: tagged products, preferably unseen by the encoder.
        precision: of read tags; a wrong tag misleads about as much as a right one helps, so 0.5 breaks even.

    Returns:
        The composer, its options, to be stored, and per entity precision and recall of the tags that it reads.
    """
    vocabulary = shown_in_photos(tag_vocabulary(catalogue))
    rows = np.arange(min(len(catalogue), CALIBRATION))
    both = images_and_regions(encoder, ProductImages.first(catalogue, rows))
    light = texts_only(catalogue)
    tags = [light[int(row)].tags for row in rows]
    several = several_valued(tags)
    reader = TagReader(encoder, vocabulary, several=several)
    labelled = *both, tags
    reading = {entity: score.record() for entity, score in reader.cross_measured(*labelled, precision=precision).items()}
    thresholds = reader.calibrate(*labelled, precision=precision)
    settings: dict[str, Any] = {"vocabulary": vocabulary, "thresholds": thresholds, "several": list(several)}
    return SlotFilling(encoder, **settings), settings, reading
