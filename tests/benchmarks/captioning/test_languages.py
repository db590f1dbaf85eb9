"""METEOR's limits: texts that are not English, captions without end."""

import numpy as np
import pytest

from e2.benchmarks.captioning import meteor
from e2.benchmarks.captioning.languages import not_english


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["ein rotes Kleid mit kurzen Ärmeln", "ein blauer Mantel mit Kapuze"], "German"),
        (["une robe rouge avec des manches", "un manteau bleu pour le soir"], "French"),
        (["红色 棉质 连衣裙", "海军蓝羊毛大衣"], "another script"),
        (["красное платье"], "another script"),
        (["a red dress with short sleeves", "an A-line skirt de luxe in red"], None),
        (["Puma Men Black T-shirt", "United Colors of Benetton Women Pink Top", "Vero Moda Women La Mode Top"], None),
        (["", "123"], None),
    ],
)
def test_the_language_of_texts(texts, language):
    found = not_english(texts)
    assert found is None if language is None else language in found


def test_a_caption_without_end_costs_its_own_meteor_only(monkeypatch):
    monkeypatch.setattr(meteor, "_counts", lambda hypotheses, references, java: np.ones((len(hypotheses), meteor.COUNTS)))
    counts = meteor.meteor_counts(["a dress", "a " * 21_000, "a coat"], [["a dress"]] * 3, None)
    assert counts[[0, 2]].all() and not counts[1].any() and meteor.meteor_score(counts)[1] == 0
    assert meteor.too_long("a dress", ["a dress", "word " * 5000])
