"""Concepts and phrases about them, which keep an inverted word among real sentences (SEARLE, section 3.1).

Phrases contain their concept; they come from a file, the catalogue's own captions, our captioner, or a language model of
transformers.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from e2.adapters.composed.answers import read_caption
from e2.adapters.composed.injection import Prompts, prompts_with_word
from e2.adapters.composed.keywords import keyword_spans
from e2.adapters.composed.reasoning import NoCaption
from e2.adapters.encoder import Encoder
from e2.backbone_sources import TRANSFORMERS
from e2.errors import InputError, printable
from e2.json_once import RepeatedKey, loads_once

CONCEPTS, LEAST, PHRASES = 500, 3, 64  # concepts found in captions; texts that hold one, at least; phrases kept of each
Phrases = Mapping[str, Sequence[str]]
_SENTENCES = (
    "_|a _|a photo of a _|a photo of the _|a photo of one _|a close-up photo of a _|a cropped photo of the _|"
    "a bright photo of a _|a dark photo of the _|a blurry photo of a _|a good photo of the _|a picture of a _|"
    "a picture that shows the _|an image of a _|a product photo of a _|a catalogue photo of the _|a view of the _|"
    "this is a _|here is the _|this photo shows a _|we see a _ in this photo|there is a _ in the picture|"
    "the _ on a plain background|the _ in a shop"
)
# plain sentences about a photo of something: before and after the word
TEMPLATES = [(before, behind) for before, _, behind in (sentence.partition("_") for sentence in _SENTENCES.split("|"))]


def frequent_concepts(texts: Iterable[str]) -> list[str]:
    """Words of keyword runs that occur in most texts, most frequent first, then by name."""
    found: Counter[str] = Counter()
    for text in texts:
        words = {w for start, end in keyword_spans(text) for w in re.findall(r"[^\W\d_]{3,}", text[start:end].lower())}
        found.update(words)
    kept = sorted((word for word, times in found.items() if times >= LEAST), key=lambda word: (-found[word], word))
    return kept[:CONCEPTS]


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
    if str(source).startswith(TRANSFORMERS):
        return phrases_from_model(str(source).removeprefix(TRANSFORMERS), concepts)
    if Path(source).is_dir():
        from e2.adapters.captioning import load_captioner

        return phrases_from_captioner(load_captioner(source), concepts)
    raise InputError(f"no concept phrases in {source}: give a JSON file, a captioner's folder or {TRANSFORMERS}NAME")


def phrases_from_captions(texts: Sequence[str], concepts: Sequence[str]) -> dict[str, list[str]]:
    """Collects the first `PHRASES` captions that contain each concept as a word."""
    wanted = set(concepts)
    found: dict[str, list[str]] = {concept: [] for concept in concepts}
    for text in dict.fromkeys(texts):
        for word in set(re.findall(r"[^\W\d_]{3,}", text.lower())) & wanted:
            if len(found[word]) < PHRASES:
                found[word].append(text)
    return {concept: phrases for concept, phrases in found.items() if phrases}


def phrases_from_file(path: str | Path) -> dict[str, list[str]]:
    """Reads a JSON file ``{"concept": ["a phrase that holds the concept", ...], ...}``."""
    try:
        phrases = loads_once(Path(path).read_text(encoding="utf-8"))
        pairs = [(concept, phrase) for concept, listed in phrases.items() for phrase in listed]
        bad = [(concept, phrase) for concept, phrase in pairs if concept.lower() not in phrase.lower()]
    except RepeatedKey as error:
        raise InputError(f"{path} names {printable(str(error))!r} twice; keep one of them") from error
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(f'{path} is not a phrase file; it should read {{"concept": ["phrase with the concept"]}}') from error
    if bad or not pairs:
        shown = f"phrase {bad[0][1][:60]!r} lacks its concept {bad[0][0]!r}" if bad else "it holds no phrase"
        raise InputError(f"{path}: {shown}; every phrase must hold its concept")
    return phrases


def phrases_from_captioner(captioner: Any, concepts: Sequence[str]) -> dict[str, list[str]]:
    """Captions each concept's text embedding, given in place of an image's: one phrase each."""
    features = captioner.encoder.encode_texts([f"a photo of a {concept}" for concept in concepts])
    captions = captioner.caption_features(features)
    return {
        concept: [caption if _holds(caption, concept) else f"a photo of {concept}, {caption}"]
        for concept, caption in zip(concepts, captions, strict=True)
    }


def phrases_from_model(name: str, concepts: Sequence[str]) -> dict[str, list[str]]:
    """Continues "a photo of <concept> that" with a causal model of transformers (the paper: GPT-Neo, temperature 0.5).

    Concepts without a usable phrase are left out.
    """
    from e2.adapters.composed.language_model import LanguageModel

    model = LanguageModel(name)
    starts = [f"a photo of {concept} that" for concept in concepts]
    rest = model.continue_texts(starts, count=8, new_tokens=24, temperature=0.5)
    found = {
        concept: [phrase for text in texts if (phrase := _phrase(start, text))]
        for concept, start, texts in zip(concepts, starts, rest, strict=True)
    }
    phrases = {concept: list(dict.fromkeys(listed)) for concept, listed in found.items() if listed}
    if not phrases:
        raise InputError(f"language model {name!r} says nothing usable about any concept; choose another, or a phrase file")
    return phrases


def _phrase(start: str, text: str) -> str | None:
    """Returns the start and the model's sentence; None if that is not plain text."""
    sentence = re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
    try:
        return f"{start} {read_caption(sentence)}"
    except NoCaption:
        return None


@dataclass(frozen=True)
class PhraseBook:
    """Prepared phrases: everything independent of pseudo-words is computed once."""

    concepts: list[str]  # C names
    concept_features: Tensor  # (C, D) normalised mean over the templates
    prompts: Prompts  # M phrases with a pseudo-word in place of the concept (its first occurrence)
    features: Tensor  # (M, D) of the unchanged phrases
    starts: np.ndarray  # (C + 1,) the phrases of concept c are rows ``starts[c]`` to ``starts[c + 1]``

    def nearest(self, features: Tensor, count: int) -> np.ndarray:
        """Finds the nearest concepts by cosine, nearest first: (N, D) -> (N, count)."""
        scores = F.normalize(features, dim=-1) @ self.concept_features.T
        return scores.topk(min(count, len(self.concepts)), dim=1).indices.cpu().numpy()

    def draw(self, concept: int, number: float) -> int:
        """Selects a phrase of the concept by a number in 0..1."""
        start, end = self.starts[concept], self.starts[concept + 1]
        return int(start + number * (end - start))


def phrase_book(encoder: Encoder, phrases: Phrases) -> PhraseBook:
    """Prepares phrases for an encoder."""
    phrases = {concept: list(dict.fromkeys(listed)) for concept, listed in phrases.items() if listed}
    if not phrases:
        raise InputError("there are no concept phrases; give texts that share words, or a phrase file by --phrases")
    parts = [_around(phrase, concept) for concept, listed in phrases.items() for phrase in listed]
    starts = np.cumsum([0, *(len(listed) for listed in phrases.values())])
    plain = encoder.encode_texts([phrase for listed in phrases.values() for phrase in listed], normalize=False)
    return PhraseBook(
        list(phrases),
        _concept_features(encoder, list(phrases)),
        prompts_with_word(encoder.tokenizer, parts).to(encoder.device),
        torch.from_numpy(plain).to(encoder.device),
        starts,
    )


def _concept_features(encoder: Encoder, concepts: list[str]) -> Tensor:
    texts = [f"{before}{concept}{behind}" for concept in concepts for before, behind in TEMPLATES]
    features = encoder.encode_texts(texts).reshape(len(concepts), len(TEMPLATES), -1).mean(axis=1)
    return F.normalize(torch.from_numpy(features).to(encoder.device), dim=-1)


def _around(phrase: str, concept: str) -> tuple[str, str]:
    """Text before and after the concept's first occurrence, as a word if possible."""
    match = re.search(rf"\b{re.escape(concept)}\b", phrase, re.IGNORECASE) or re.search(
        re.escape(concept), phrase, re.IGNORECASE
    )
    if match is None:
        raise InputError(f"phrase {phrase[:60]!r} lacks its concept {concept!r}; every phrase must hold its concept")
    return f"{phrase[: match.start()]} ", f" {phrase[match.end() :]}"


def _holds(text: str, concept: str) -> bool:
    return re.search(rf"\b{re.escape(concept)}\b", text, re.IGNORECASE) is not None
