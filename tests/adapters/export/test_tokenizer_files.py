"""CLIP's tokenizer as a file gives open_clip's ids."""

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.export.tokenizer_files import load_tokenizer, save_tokenizer
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
]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs = open_clip.SimpleTokenizer(context_length=77)
    return theirs, load_tokenizer(folder, save_tokenizer(theirs, folder))


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
