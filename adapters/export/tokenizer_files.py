"""Writes CLIP's tokenizer as a ``tokenizer.json``, which Rust, JavaScript and Python read without PyTorch.

open_clip repairs texts before it splits them (ftfy, then HTML's escapes). A ``tokenizer.json`` holds no code, so ftfy's
repairs of single characters and the most common escapes are written into it one by one. Broken encodings, which ftfy guesses,
and other escapes are left out; in Python, ``tokens.py`` beside it gives exact ids.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from ftfy import chardata
from open_clip.tokenizer import HFTokenizer, _clean_lower
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from torch import Tensor

from e2.adapters.export import tokens
from e2.adapters.export.tokens import clean, load
from e2.errors import InputError

FILE, FOLDER, CODE_FILE = "tokenizer.json", "tokenizer", "tokens.py"
START, END = "<|startoftext|>", "<|endoftext|>"
# open_clip's, which ignores case: so a long s is an s, and the iota below (U+0345), a letter in upper case only, is lost.
SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}\u0345]+"
ESCAPES = {"&amp;": "&", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " ", "&lt;": "<", "&gt;": ">"}
ESCAPES |= {"&rsquo;": "'", "&lsquo;": "'", "&rdquo;": '"', "&ldquo;": '"', "&ndash;": "–", "&mdash;": "—", "&eacute;": "é"}
ESCAPES |= {"&trade;": "™", "&reg;": "®", "&copy;": "©", "&deg;": "°", "&times;": "×", "&frac12;": "½", "&hellip;": "…"}
TERMINAL = r"\x1b\[([0-9;]*)([a-zA-Z])"  # colours and such
FINAL_SIGMA = r"(?<=\p{L}\p{M}{0,4})Σ(?!\p{M}*\p{L})"


def clip_tokenizer_json(tokenizer: open_clip.SimpleTokenizer) -> Tokenizer:
    """Builds a tokenizer with the words and merges of open_clip's own."""
    if tokenizer.clean_fn is not _clean_lower or tokenizer.reduction_fn is not None:
        raise InputError("this model's tokenizer cleans or shortens texts in a way that no tokenizer.json can hold")
    names = {tokenizer.sot_token_id: START, tokenizer.eot_token_id: END}
    vocabulary = {names.get(number, word): number for word, number in tokenizer.encoder.items()}
    model = BPE(vocabulary, list(tokenizer.bpe_ranks), end_of_word_suffix="</w>", unk_token=END)
    made = Tokenizer(model)
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    lower = [normalizers.Replace(Regex(FINAL_SIGMA), "ς"), normalizers.Lowercase()]
    made.normalizer = normalizers.Sequence([*_repairs(), normalizers.NFC(), *spaces, *lower])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.post_processor = processors.RobertaProcessing(
        (END, tokenizer.eot_token_id), (START, tokenizer.sot_token_id), trim_offsets=False, add_prefix_space=False
    )
    made.add_special_tokens([START, END])
    return made


def _repairs() -> Iterator[normalizers.Normalizer]:
    """Yields ftfy's repairs of single characters, in its order, from its own tables."""
    for escape, letter in ESCAPES.items():
        yield normalizers.Replace(escape, letter)
    windows = {code: bytes([code]).decode("windows-1252", "ignore") for code in range(0x80, 0xA0)}
    for code, letters in {**windows, **chardata.LIGATURES, **chardata.WIDTH_MAP}.items():
        if letters:
            yield normalizers.Replace(chr(code), letters)
    yield normalizers.Replace(Regex(chardata.SINGLE_QUOTE_RE.pattern), "'")
    yield normalizers.Replace(Regex(chardata.DOUBLE_QUOTE_RE.pattern), '"')
    yield normalizers.Replace(Regex(TERMINAL), "")
    removed = "".join(f"\\u{code:04x}" for code in chardata.CONTROL_CHARS)
    yield normalizers.Replace(Regex(f"[{removed}]"), "")


def padded(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """Cuts and pads every text to one length, with open_clip's padding (id 0)."""
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token="!")
    return tokenizer


class TokenizerFile:
    """Reads a ``tokenizer.json`` in place of open_clip's tokenizer, as ``tokens.py`` does: list of strings -> (B, L)."""

    def __init__(self, path: Path, context_length: int):
        self.tokenizer, self.context_length = load(path), context_length

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        padded(self.tokenizer, context_length or self.context_length)
        return torch.tensor([entry.ids for entry in self.tokenizer.encode_batch([clean(text) for text in texts])])


def save_tokenizer(tokenizer: Any, folder: Path) -> dict[str, int | str]:
    """Writes the tokenizer beside a model; returns what :func:`load_tokenizer` needs.

    CLIP's becomes ``tokenizer.json`` and ``tokens.py``; one from the hub keeps its own files, in ``tokenizer/``.
    """
    length = tokenizer.context_length
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.save_pretrained(str(folder / FOLDER))
        return {"file": FOLDER, "context_length": length, "clean": _cleaning(tokenizer)}
    padded(clip_tokenizer_json(tokenizer), length).save(str(folder / FILE))
    shutil.copyfile(str(tokens.__file__), folder / CODE_FILE)
    return {"file": FILE, "context_length": length}


def _cleaning(tokenizer: HFTokenizer) -> str:
    return getattr(tokenizer.clean_fn, "__name__", "").removeprefix("_clean_") or "whitespace"


def load_tokenizer(folder: Path, described: dict) -> Callable:
    """Loads the result of :func:`save_tokenizer`."""
    if described["file"] == FILE:
        return TokenizerFile(folder / FILE, described["context_length"])
    options = {"context_length": described["context_length"], "clean": described["clean"]}
    return HFTokenizer(str(folder / described["file"]), trust_remote_code=False, **options)


def save_for_transformers(tokenizer: Any, folder: Path) -> dict[str, int | str]:
    """Writes the files that ``AutoTokenizer`` looks for; returns what :func:`load_tokenizer` needs."""
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.tokenizer.model_max_length = tokenizer.context_length
        tokenizer.save_pretrained(str(folder))
        return {"file": ".", "context_length": tokenizer.context_length, "clean": _cleaning(tokenizer)}
    described = save_tokenizer(tokenizer, folder)
    content = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # which takes tokenizer.json as it is
        "model_max_length": tokenizer.context_length,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(content, indent=2) + "\n")
    return described
