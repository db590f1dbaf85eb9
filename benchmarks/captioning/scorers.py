"""Computes BLEU, CIDEr-D and ROUGE-L of many captions at once: pycocoevalcap's numbers in a fraction of its time.

Words and n-grams become integers, which NumPy counts for all texts together, once for BLEU and CIDEr-D. ROUGE-L's longest
common subsequence takes one bit per word (Hyyrö, "Bit-Parallel LCS-length Computation Revisited", AWOCA 2004).
"""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

ORDERS = 4  # n-grams of one to four words
SIGMA = 6.0  # words; CIDEr-D's tolerance for differing lengths
BETA = 1.2  # ROUGE-L's weight of recall


def ngram_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Computes counts for BLEU@1-4, and CIDEr-D (Papineni et al., ACL 2002; Vedantam et al., CVPR 2015).

    Args:
        hypotheses: N captions, words between blanks.
        references: one or more of each.

    Returns:
        (N, 10) counts: own length, closest reference's, 4 x n-grams, 4 x those found in a reference; (N,) CIDEr-D in 0..10.
    """
    texts = [text.split() for text in chain(hypotheses, chain.from_iterable(references))]
    sizes = np.array([len(refs) for refs in references])
    caption = np.repeat(np.arange(len(sizes)), sizes)  # caption that a reference belongs to
    own, theirs = np.split(np.array([len(words) for words in texts]), [len(sizes)])
    found, cosines = zip(*(_compare(text, ngram, caption, len(sizes)) for text, ngram in _ngrams(texts)), strict=True)
    guessed = np.maximum(own[:, None] - np.arange(ORDERS), 0)
    counts = np.column_stack([own, _closest(own, theirs, caption, sizes), guessed, *found]).astype(float)
    bigrams, their_bigrams = np.maximum(own - 1, 0)[caption], np.maximum(theirs - 1, 0)  # the originals' length
    penalty = np.exp(-((bigrams - their_bigrams) ** 2) / (2 * SIGMA**2))
    return counts, 10 * np.bincount(caption, np.mean(cosines, axis=0) * penalty) / sizes


def rouge_l(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """Computes ROUGE-L (N,) in 0..1 (Lin and Och, ACL 2004), from the best precision and the best recall among the
    references.
    """
    return np.array([_rouge_l(text, refs) for text, refs in zip(hypotheses, references, strict=True)])


def _ngrams(texts: list[list[str]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields for 1- to 4-grams (K,) their texts and (K,) numbers, equal for equal n-grams."""
    vocabulary: dict[str, int] = {}
    words = np.array([vocabulary.setdefault(word, len(vocabulary)) for word in chain.from_iterable(texts)], dtype=np.int64)
    lengths = [len(text) for text in texts]
    text, end = np.repeat(np.arange(len(texts)), lengths), np.repeat(np.cumsum(lengths), lengths)
    start, ngram = np.arange(len(words)), words
    for order in range(1, ORDERS + 1):
        yield text[start], ngram
        longer = start + order < end[start]
        start, ngram = start[longer], ngram[longer]
        ngram = np.unique(ngram * len(vocabulary) + words[start + order], return_inverse=True)[1]


def _compare(text: np.ndarray, ngram: np.ndarray, caption: np.ndarray, captions: int) -> tuple[np.ndarray, np.ndarray]:
    """Compares n-grams of one order in captions and references.

    Args:
        text: (K,) captions are 0 to N - 1, the R references follow.
        ngram: (K,) n-gram number.
        caption: (R,) caption of each reference.
        captions: N.

    Returns:
        (N,) n-grams found in a reference, each as often as in one reference at most; (R,) clipped cosines of the tf-idf
        weights of caption and reference.
    """
    kinds = ngram.max(initial=0) + 1
    keys, counts = np.unique(text * kinds + ngram, return_counts=True)
    text, ngram = np.divmod(keys, kinds)
    first = np.searchsorted(text, captions)  # entry of a reference
    reference = text[first:] - captions
    wanted = caption[reference] * kinds + ngram[first:]  # the same n-gram in the reference's caption
    place = np.searchsorted(keys[:first], wanted)
    shared = np.append(keys[:first], -1)[place] == wanted
    place, reference = place[shared], reference[shared]

    most = np.zeros_like(counts[:first])
    np.maximum.at(most, place, counts[first:][shared])
    found = np.bincount(text[:first], np.minimum(most, counts[:first]), minlength=captions)

    held = np.sort(wanted)  # n-grams of several references count once for their caption
    frequency = np.bincount(held[np.diff(held, prepend=-1) > 0] % kinds, minlength=kinds)
    weights = counts * (np.log(captions) - np.log(np.maximum(frequency, 1)))[ngram]
    norms = np.sqrt(np.bincount(text, weights**2, minlength=captions + len(caption)))
    own, theirs = weights[:first][place], weights[first:][shared]
    products = np.bincount(reference, np.minimum(own, theirs) * theirs, minlength=len(caption))
    norms = norms[caption] * norms[captions:]
    return found, np.divide(products, norms, out=np.zeros(len(caption)), where=norms > 0)


def _closest(own: np.ndarray, theirs: np.ndarray, caption: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Length (N,) of the reference closest in length to the caption; ties go to the shorter."""
    ranked = np.lexsort((theirs, abs(theirs - own[caption]), caption))
    return theirs[ranked][np.cumsum(sizes) - sizes]


def _rouge_l(hypothesis: str, references: Sequence[str]) -> float:
    words = hypothesis.split(" ")
    places: dict[str, int] = {}  # of each word, as bits
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    texts = [text.split(" ") for text in references]
    common = [_longest_common(places, len(words), text) for text in texts]
    if not any(common):
        return 0.0
    precision, recall = max(common) / len(words), max(a / len(text) for a, text in zip(common, texts, strict=True))
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _longest_common(places: dict[str, int], length: int, words: list[str]) -> int:
    """Length of the longest common subsequence of ``words`` and a text of ``length`` words, given each word's positions.

    Each zero bit of ``row`` marks a step in the textbook algorithm's table.
    """
    everywhere = row = (1 << length) - 1
    for word in words:
        if here := places.get(word, 0):
            matched = row & here
            row = (row + matched) | (row - matched)
    return length - (row & everywhere).bit_count()
