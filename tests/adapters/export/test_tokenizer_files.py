"""CLIP's tokenizer as a file gives open_clip's ids."""

import runpy
import unicodedata

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from e2.adapters.export.tokenizer_files import load_tokenizer, save_tokenizer
from e2.errors import InputError

TEXTS = [
    "",
    "  Red   dress,\n size 10 ",
    "It’s “fine” — isn't it?",
    "100% cotton &amp; silk &lt;new&gt;",
    "café CAFÉ cafe\u0301",
    "日本語 ドレス 🎉",
    "a!!!??? x_y-z 1234",
    "word " * 200,
    "ＦＵＬＬ ｗｉｄｔｈ ﬁne ﬂoral ﬃ zero\u200bwidth soft\u00adhyphen \ufeffmark",
    "ΟΔΥΣΣΕΥΣ Σ ΣΑΣ, İstanbul, ŉ Ǆ ´`‚„",
    "it\u2019\u017f \x1b[31mred\x1b[0m \x85 \u2028 line\r\nbreak",
]
BROKEN = [  # guessed encodings and rare escapes, which need ftfy itself
    "cafÃ© â€œquotedâ€\u009d Ã\u00a0 la mode",
    "&alpha; &#x2019; &amp;amp;eacute; <b>&rsquo;</b>",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(open_clip.SimpleTokenizer(context_length=77), folder)
    return folder


@pytest.fixture(scope="module")
def both(folder):
    return open_clip.SimpleTokenizer(context_length=77), load_tokenizer(
        folder, {"file": "tokenizer.json", "context_length": 77}
    )


@pytest.fixture(scope="module")
def exported(folder):
    """``tokens.py`` as the folder's users run it."""
    return runpy.run_path(str(folder / "tokens.py"))["tokens"]


def alphabet() -> list[str]:
    """Texts over every block of Unicode: each assigned letter inside a word, alone, and before an 's."""
    texts = []
    for start in range(0x20, 0x20000, 0x80):
        letters = [chr(code) for code in range(start, start + 0x80)]
        letters = [letter for letter in letters if unicodedata.category(letter) not in ("Cn", "Cs", "Co")]
        rich = start < 0x600 or 0x1E00 <= start < 0x2100 or 0xFB00 <= start < 0x10000  # in what ftfy changes
        for letter in letters[:: 1 if rich else 9]:
            texts.append(f"a{letter}b {letter} {letter}'s")
    return texts


@pytest.fixture(scope="module")
def every_block(both):
    """Texts and open_clip's ids for them."""
    texts = alphabet()
    assert len(texts) > 5_000
    return texts, both[0](texts).numpy()


def test_ids_are_open_clips_in_every_block_of_unicode(every_block, exported):
    texts, ids = every_block
    differ = [text for text, wrong in zip(texts, (exported(texts) != ids).any(axis=1), strict=True) if wrong]
    assert not differ, (len(differ), differ[:20])


def test_the_file_alone_gives_them_too(every_block, folder):
    """Without Python: what the file itself repairs."""
    texts, ids = every_block
    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = np.array([entry.ids for entry in alone.encode_batch(texts)])
    differ = [text for text, wrong in zip(texts, (found != ids).any(axis=1), strict=True) if wrong]
    assert {text[1] for text in differ} <= {"Â", "Ã"}, differ  # which ftfy takes for broken encodings
    assert [entry.ids for entry in alone.encode_batch(TEXTS)] == open_clip.SimpleTokenizer(context_length=77)(TEXTS).tolist()


def test_broken_encodings_and_rare_escapes_are_mended_as_by_open_clip(both, exported):
    theirs, ours = both
    assert torch.equal(ours(BROKEN), theirs(BROKEN)) and exported(BROKEN).tolist() == theirs(BROKEN).tolist()


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cn", "Co")), max_size=40))
def test_ids_are_open_clips_for_any_text_at_all(both, exported, text):
    assert exported([text]).tolist() == both[0]([text]).tolist()


def test_ids_are_open_clips(both):
    theirs, ours = both
    assert torch.equal(ours(TEXTS), theirs(TEXTS))
    assert torch.equal(ours(TEXTS, context_length=12), theirs(TEXTS, context_length=12))


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="<&"), max_size=60))
def test_ids_are_open_clips_for_any_plain_text(both, text):
    theirs, ours = both
    assert torch.equal(ours([text]), theirs([text]))


def test_a_tokenizer_that_cleans_otherwise_is_refused(tmp_path):
    with pytest.raises(InputError, match="in a way that no tokenizer.json can hold"):
        save_tokenizer(open_clip.SimpleTokenizer(clean="canonicalize"), tmp_path)
