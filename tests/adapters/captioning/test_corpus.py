"""Texts: stored, deduplicated, held out, tokenised, embedded once, batched."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2.adapters.captioning import embeddings as embeddings_module
from e2.adapters.captioning.corpus import TextBlock, corpus_of_catalogue, corpus_of_texts, held_out, read_lines
from e2.adapters.captioning.embeddings import embed_texts
from e2.adapters.captioning.prompt import drop_tags, prompt_text
from e2.adapters.captioning.tokenizers import ClipTokenizer, SentencePieceTokenizer, evenly
from e2.adapters.captioning.training import epoch_batches, tokenized
from e2.adapters.tag_reader import tag_vocabulary
from e2.data import open_catalogue
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf

TEXTS = [f"Nike Men's {colour} {kind}" for colour in ("Red", "Blue", "Grey") for kind in ("Tee", "Shoe", "Bag")]


@given(st.lists(st.text(), max_size=20))
def test_blocks_give_back_what_went_in(texts):
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    block = TextBlock(texts)
    assert list(block) == clean
    assert [a == b for a in clean for b in clean] == [a == b for a in block.digests() for b in block.digests()]


def test_equal_texts_are_one_and_rows_remember_their_product(shop):
    catalogue = open_catalogue(str(shop), "train", tags=("brand", "colour"))
    vocabulary = tag_vocabulary(catalogue)
    corpus = corpus_of_catalogue(catalogue, "full", vocabulary)
    assert len(corpus.rows) == len(catalogue) == 60
    for row in range(60):
        assert corpus.texts[corpus.rows[row]] == catalogue[row].text("full")
        assert corpus.tags_of(row) == dict(catalogue[row].tags)
    doubled = corpus_of_texts(["b", " a ", "b", "", "a\n"])
    assert list(doubled.texts) == ["b", "a"] and doubled.rows.tolist() == [0, 1, 0, 1]


def test_of_several_values_the_first_known_one_counts():
    tags = ("Red | Blue", "Green | Red", "Green")
    shelf = Shelf([Product(str(row), (b"",), (f"text {row}",), {"colour": tag}) for row, tag in enumerate(tags)])
    assert corpus_of_catalogue(shelf, vocabulary={"colour": ["Red", "Blue"]}).tags[:, 0].tolist() == [0, 0, -1]


def test_like_groups_are_products_with_the_same_tags(shop):
    catalogue = open_catalogue(str(shop), "train", tags=("brand", "colour"))
    corpus = corpus_of_catalogue(catalogue, "caption", tag_vocabulary(catalogue))
    groups = corpus.like_groups()[corpus.rows]
    whole = [len(catalogue[row].tags) == 2 for row in range(60)]
    assert (groups >= 0).tolist() == whole
    for a in np.flatnonzero(whole)[:10]:
        for b in np.flatnonzero(whole):
            assert (groups[a] == groups[b]) == (dict(catalogue[int(a)].tags) == dict(catalogue[int(b)].tags))


def test_held_out_texts_follow_from_the_text_alone():
    corpus = corpus_of_texts([f"text {i}" for i in range(5000)])
    chosen = held_out(corpus, 200)
    assert 150 < chosen.sum() < 250
    assert 200 < held_out(corpus, 5000).sum() < 300  # never more than a twentieth
    backwards = corpus_of_texts([f"text {i}" for i in reversed(range(5000))])
    assert held_out(backwards, 200)[::-1].tolist() == chosen.tolist()
    assert held_out(corpus_of_texts(["a", "b"]), 1000).sum() == 1


def test_lines_are_streamed_and_the_broken_one_is_named(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes(b"\xef\xbb\xbffirst\nsecond \xe2\x80\xa8 with a separator\n")
    assert [line.strip() for line in read_lines(path)] == ["first", "second \u2028 with a separator"]
    lines = read_lines(path)
    assert next(lines) == "first\n"  # nothing further is needed for it
    path.write_bytes(b"good line\n" * 5000 + b"\xff\xfe\n")
    with pytest.raises(InputError, match="not UTF-8 near line"):
        list(read_lines(path))


def test_sentencepiece_is_deterministic_and_stays_in_its_vocabulary(tmp_path):
    first, again = (SentencePieceTokenizer.trained(TEXTS * 3, 80) for _ in range(2))
    assert first.model == again.model and first.vocab_size <= 80
    for text in TEXTS:
        ids = first.encode(text)
        assert first.decode([*ids, first.stop_id]) == text and max(ids) < first.vocab_size
    assert not set(first.encode(TEXTS[0])) & {first.stop_id, *first.banned}
    for hopeless in ([], ["", ""]):
        with pytest.raises(InputError, match="vocabulary"):
            SentencePieceTokenizer.trained(hopeless, 80)


def test_clip_tokenizer_gives_lower_case_text_back():
    tokenizer = ClipTokenizer()
    assert tokenizer.decode([*tokenizer.encode("Nike Men's red tee."), tokenizer.stop_id]) == "nike men 's red tee ."
    assert tokenizer.vocab_size == 49408


def test_token_lists_end_with_the_stop_token_also_when_cut():
    tokenizer = SentencePieceTokenizer.trained(TEXTS, 80)
    tokens, ends, cut = tokenized(["Nike", TEXTS[0]], tokenizer, 4)
    whole = tokenizer.encode(TEXTS[0])
    assert tokens[ends[1] : ends[2]].tolist() == [*whole[:3], tokenizer.stop_id]
    assert tokens[ends[1] - 1] == tokenizer.stop_id and cut == 1 + (len(tokenizer.encode("Nike")) >= 4)


def test_epochs_hold_each_row_once_in_batches_of_like_length():
    lengths = np.random.default_rng(0).integers(3, 60, 5000)
    batches = epoch_batches(lengths, 32, 0, 1)
    assert sorted(np.concatenate(batches).tolist()) == list(range(5000))
    assert np.mean([np.ptp(lengths[batch]) for batch in batches]) < 5
    same, other = epoch_batches(lengths, 32, 0, 1), epoch_batches(lengths, 32, 0, 2)
    assert all(np.array_equal(a, b) for a, b in zip(batches, same, strict=True))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(other))


def test_prompts_and_tag_dropout():
    tags = {"brand": "Nike", "colour": "Red"}
    assert prompt_text("tags", tags) == "brand Nike, colour Red:" and prompt_text("tags", {}) == ":"
    assert prompt_text("entities", tags) == "There are Nike, Red in image." and prompt_text("none", tags) == ""
    random = np.random.default_rng(0)
    kept = [drop_tags(tags, 0.3, random) for _ in range(3000)]
    for entity in tags:
        assert np.mean([entity in found for found in kept]) == pytest.approx(0.7, abs=0.04)
    assert np.mean([len(found) == 0 for found in kept]) == pytest.approx(0.09, abs=0.03)  # independent of each other


def test_many_embeddings_are_computed_once_and_kept(monkeypatch, tmp_path):
    class Counting:
        info, precision, calls = {"weights_sha256": "1"}, "fp32", 0

        def encode_texts(self, texts, progress=True):
            Counting.calls += len(texts)
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    monkeypatch.setenv("E2_CACHE", str(tmp_path))
    monkeypatch.setattr(embeddings_module, "LARGE", 5)
    monkeypatch.setattr(embeddings_module, "CHUNK", 4)
    block = TextBlock(TEXTS)
    for _ in range(2):
        assert embed_texts(Counting(), block, progress=False)[:, 0].tolist() == [len(text) for text in TEXTS]
    assert Counting.calls == len(TEXTS)
    Counting.info = {"weights_sha256": "2"}
    embed_texts(Counting(), block, progress=False)
    assert Counting.calls == 2 * len(TEXTS)


def test_samples_are_spread_evenly():
    assert list(evenly(list("abcdefghij"), 4)) == ["a", "d", "g", "j"]
    assert list(evenly(["a", "b"], 4)) == ["a", "b"]
