"""Builds what composers need by name: vocabularies, rewriters, and what comes from the searched catalogue."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from e2.adapters.composed.chat_client import EndpointConfig
from e2.adapters.composed.endpoint import Endpoint
from e2.adapters.composed.phrases import phrases_of
from e2.adapters.composed.rewriting import Rewriter
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.sizes import shown_in_photos
from e2.adapters.tag_reader import tag_vocabulary
from e2.backbone_sources import TRANSFORMERS
from e2.data import open_catalogue
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError, printable
from e2.json_once import RepeatedKey, loads_once
from e2.settings import from_dict

Vocabulary = Mapping[str, Sequence[str]]


def vocabulary_of(source: Vocabulary | str | Path) -> dict[str, list[str]]:
    """Entity -> values: as given, from a JSON file of that form, or from a catalogue's (SPEC's) train split."""
    if isinstance(source, Mapping):
        return {entity: list(values) for entity, values in source.items()}
    if str(source).endswith(".json"):
        try:
            content = loads_once(Path(source).read_text(encoding="utf-8"))
            return {str(entity): [str(value) for value in values] for entity, values in content.items()}
        except RepeatedKey as error:
            raise InputError(f"{source} names {printable(str(error))!r} twice; keep one of them") from error
        except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise InputError(f'{source} is not a vocabulary; it should read {{"entity": ["value", ...], ...}}') from error
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
            vocabulary = shown_in_photos(tag_vocabulary(catalogue))
        return {**options, "vocabulary": vocabulary} if vocabulary else dict(options)
    if catalogue is not None and method == "searle-oti" and "phrases" not in options:
        return {**options, "phrases": phrases_of(None, captions_in(catalogue))}
    return dict(options)


def captions_in(catalogue: Catalogue) -> list[str]:
    """All descriptions of a split, without reading photos if possible."""
    return [caption for product in without_photos(catalogue) for caption in product.captions]


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
        options: of :class:`e2.adapters.composed.chat_client.EndpointConfig`.
    """
    if not isinstance(source, str):
        return source
    if source.startswith("http"):
        return Endpoint(from_dict(EndpointConfig, {"url": source, **options}, "rewriter"), cache)
    if options or cache:
        raise InputError(f"rewriter {source!r} takes no {', '.join([*options, *(['cache'] if cache else [])])}")
    if source == "rules":
        return RuleEditor(None if vocabulary is None else vocabulary_of(vocabulary))
    if source.startswith(TRANSFORMERS):
        from e2.adapters.composed.language_model import LanguageModel

        return LanguageModel(source.removeprefix(TRANSFORMERS))
    raise InputError(f"unknown rewriter {source!r}; choose rules, http://SERVER/v1 or {TRANSFORMERS}NAME")
