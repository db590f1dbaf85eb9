"""pycocoevalcap's Python scorers, side by side in processes of their own.

This file is also the program of those processes, run by its path, so that a worker imports neither torch nor the rest of the
suite, nor the caller's main module.
"""

import json
import math
import subprocess
import sys
from collections.abc import Sequence

SIDE_BY_SIDE = 2000  # captions from which a process of its own pays
NGRAMS, SIGMA = 4, 6.0  # of CIDEr-D


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict:
    """BLEU@1-4: ``corpus`` (4 values), ``captions`` (4 x N) and ``counts`` (N x 10): own length, closest
    reference's, 4 x n-grams, 4 x those found in a reference."""
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=4)
    for hypothesis, refs in zip(hypotheses, references, strict=True):
        scorer += (hypothesis, list(refs))
    corpus, captions = scorer.compute_score(option="closest")
    counts = []
    for row in scorer.ctest:
        closest = min((abs(length - row["testlen"]), length) for length in row["reflen"])[1]
        counts.append([row["testlen"], closest, *row["guess"], *row["correct"]])
    return {"corpus": corpus, "captions": captions, "counts": counts}


def rouge(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict:
    """ROUGE-L: ``captions`` (N); the corpus value is their mean."""
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Rouge()
    return {"captions": [scorer.calc_score([h], list(refs)) for h, refs in zip(hypotheses, references, strict=True)]}


def cider(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict:
    """CIDEr-D: ``captions`` (N); the corpus value is their mean.

    n-grams and document frequencies are pycocoevalcap's; its `compute_cider` takes NumPy logarithms of single numbers over
    and over, so that its formula (Vedantam et al., CVPR 2015) stands here over plain floats, several times as fast.
    """
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    scorer = CiderScorer(n=NGRAMS, sigma=SIGMA)
    for hypothesis, refs in zip(hypotheses, references, strict=True):
        scorer += (hypothesis, list(refs))
    scorer.compute_doc_freq()
    most = math.log(len(hypotheses))  # the weight of an n-gram that no reference holds
    idf = {gram: most - math.log(count) for gram, count in scorer.document_frequency.items()}
    captions = []
    for counts, refs in zip(scorer.ctest, scorer.crefs, strict=True):
        own = _weighted(counts, idf, most)
        captions.append(10 * sum(_similarity(own, _weighted(ref, idf, most)) for ref in refs) / len(refs))
    return {"captions": captions}


def _weighted(counts: dict, idf: dict, most: float) -> tuple[dict, list[float], int]:
    """tf-idf of each n-gram, the norms of 1- to 4-grams, and the length (in bigrams, as the original counts it)."""
    weights = {gram: count * idf.get(gram, most) for gram, count in counts.items()}
    squares = [0.0] * NGRAMS
    for gram, weight in weights.items():
        squares[len(gram) - 1] += weight * weight
    return weights, list(map(math.sqrt, squares)), sum(count for gram, count in counts.items() if len(gram) == 2)


def _similarity(own: tuple, ref: tuple) -> float:
    """Mean over n of the clipped cosine, damped by the difference in length."""
    (weights, norms, length), (ref_weights, ref_norms, ref_length) = own, ref
    products = [0.0] * NGRAMS
    for gram, weight in weights.items():
        other = ref_weights.get(gram, 0.0)
        products[len(gram) - 1] += min(weight, other) * other
    cosines = (p / (a * b) if a and b else p for p, a, b in zip(products, norms, ref_norms, strict=True))
    return sum(cosines) / NGRAMS * math.exp(-((length - ref_length) ** 2) / (2 * SIGMA**2))


SCORERS = {"bleu": bleu, "rouge": rouge, "cider": cider}


class ScorerFailed(RuntimeError):
    """A scorer's process died, for want of memory as a rule."""


def run_scorer(name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict:
    """One of SCORERS, in a process of its own where the texts are many.

    Raises:
        ScorerFailed: that process died.
    """
    if len(hypotheses) < SIDE_BY_SIDE:
        return SCORERS[name](hypotheses, references)
    task = json.dumps([list(hypotheses), list(map(list, references))]).encode()
    done = subprocess.run([sys.executable, __file__, name], input=task, capture_output=True)
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").splitlines() or [f"status {done.returncode}"])[-1]
        raise ScorerFailed(f"the {name} scorer died on {len(hypotheses):,} captions ({reason}); is the memory full?")
    return json.loads(done.stdout)


if __name__ == "__main__":
    json.dump(SCORERS[sys.argv[1]](*json.load(sys.stdin)), sys.stdout)
