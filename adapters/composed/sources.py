"""Builds what composers need by name: vocabularies, concept phrases, captions, rewriters."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from e2.adapters.composed.endpoint import Endpoint, EndpointConfig
from e2.adapters.composed.phrases import (
    Phrases,
    frequent_concepts,
    phrases_from_captioner,
    phrases_from_captions,
    phrases_from_file,
    phrases_from_model,
)
from e2.adapters.composed.reference_captions import CaptionSource, FileCaptions, OurCaptions, TransformersCaptions
from e2.adapters.composed.rewriting import Rewriter
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import tag_vocabulary
from e2.config import from_dict
from e2.data import open_catalogue
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError

HUB = "transformers:"
Vocabulary = Mapping[str, Sequence[str]]


def vocabulary_of(source: Vocabulary | str | Path) -> dict[str, list[str]]:
    """Entity -> values: as given, from a JSON file of that form, or from a catalogue's (SPEC's) train split."""
    if isinstance(source, Mapping):
        return {entity: list(values) for entity, values in source.items()}
    if str(source).endswith(".json"):
        try:
            content = json.loads(Path(source).read_text(encoding="utf-8"))
            return {str(entity): [str(value) for value in values] for entity, values in content.items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise InputError(f'{source} is no vocabulary; it should read {{"entity": ["value", ...], ...}}') from error
    return tag_vocabulary(open_catalogue(str(source), None))


def catalogue_options(
    method: str, options: Mapping[str, Any], catalogue: Catalogue | None, vocabulary: Vocabulary | None = None
) -> dict[str, Any]:
    """Completes unset options of a method from the searched catalogue.

    Args:
        method: its name.
        options: those set.
        catalogue: searched catalogue, if available.
        vocabulary: entity -> values of its tags, for an index.
    """
    rules = method == "cirevl" and options.get("rewriter", "rules") == "rules"
    if (rules or method == "slots") and "vocabulary" not in options:
        if catalogue is not None and (catalogue.tags or not rules):
            vocabulary = tag_vocabulary(catalogue)
        return {**options, "vocabulary": vocabulary} if vocabulary else dict(options)
    if catalogue is not None and method == "searle-oti" and "phrases" not in options:
        return {**options, "phrases": phrases_of(None, captions_in(catalogue))}
    return dict(options)


def captions_in(catalogue: Catalogue) -> list[str]:
    """All descriptions of a split, without reading photos if possible."""
    return [caption for product in without_photos(catalogue) for caption in product.captions]


def phrases_of(source: Phrases | str | Path | None, texts: Sequence[str]) -> Phrases:
    """Concept phrases: as given, from a phrase file, a captioner's folder, ``transformers:NAME``, or (None) from the texts.

    All except the first two are about the most frequent words of the texts.
    """
    if isinstance(source, Mapping):
        return source
    if source is not None and Path(source).is_file():
        return phrases_from_file(source)
    concepts = frequent_concepts(texts)
    if source is None:
        return phrases_from_captions(texts, concepts)
    if str(source).startswith(HUB):
        return phrases_from_model(str(source).removeprefix(HUB), concepts)
    if Path(source).is_dir():
        from e2.adapters.captioning import load_captioner

        return phrases_from_captioner(load_captioner(source), concepts)
    raise InputError(f"no concept phrases in {source}: give a JSON file, a captioner's folder or {HUB}NAME")


def captions_of(source: CaptionSource | str | Path, encoder: Encoder) -> CaptionSource:
    """Source of the references' captions: a captioner's folder, a captions file, or ``transformers:NAME``."""
    if not isinstance(source, (str, Path)):
        return source
    if str(source).startswith(HUB):
        return TransformersCaptions(str(source).removeprefix(HUB), device=str(encoder.device))
    if Path(source).is_dir():
        from e2.adapters.captioning import load_captioner

        return OurCaptions(load_captioner(source, among=[encoder]))
    if Path(source).is_file():
        return FileCaptions(source)
    raise InputError(f"no captions in {source}: give a captioner's folder, a captions file or {HUB}NAME")


def rewriter_of(
    source: Rewriter | str = "rules",
    *,
    vocabulary: Vocabulary | str | None = None,
    cache: str | Path | None = None,
    **options: Any,
) -> Rewriter:
    """Makes a rewriter of captions: ``rules``, the address of an OpenAI-compatible server, or ``transformers:NAME``.

    Args:
        source: its name, or one of your own.
        vocabulary: names known to the rules; see :func:`vocabulary_of`.
        cache: file of a server's answers.
        options: of :class:`e2.adapters.composed.endpoint.EndpointConfig`.
    """
    if not isinstance(source, str):
        return source
    if source.startswith("http"):
        return Endpoint(from_dict(EndpointConfig, {"url": source, **options}, "rewriter"), cache)
    if options or cache:
        raise InputError(f"rewriter {source!r} takes no {', '.join([*options, *(['cache'] if cache else [])])}")
    if source == "rules":
        return RuleEditor(None if vocabulary is None else vocabulary_of(vocabulary))
    if source.startswith(HUB):
        from e2.adapters.composed.language_model import LanguageModel

        return LanguageModel(source.removeprefix(HUB))
    raise InputError(f"unknown rewriter {source!r}; choose rules, http://SERVER/v1 or {HUB}NAME")
