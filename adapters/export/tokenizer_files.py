"""CLIP's tokenizer as a ``tokenizer.json``, which Rust, JavaScript and Python read without PyTorch.

open_clip repairs texts before it splits them (ftfy, then HTML's escapes). A ``tokenizer.json`` knows no such code, so the
repairs that product texts need are written into it one by one; what is left out is broken encodings, which ftfy guesses.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, _clean_lower
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from torch import Tensor

from e2.errors import InputError

FILE, FOLDER = "tokenizer.json", "tokenizer"
START, END = "<|startoftext|>", "<|endoftext|>"
SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
ESCAPES = {"&amp;": "&", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " ", "&lt;": "<", "&gt;": ">"}
REPAIRS = {"[‘’‚‛ʼ]": "'", "[“”„‟]": '"', "ﬁ": "fi", "ﬂ": "fl", "[\u200b\ufeff\u00ad]": ""}  # as ftfy does


def clip_tokenizer_json(tokenizer: open_clip.SimpleTokenizer) -> Tokenizer:
    """The same words and merges as open_clip's own tokenizer.

    Raises:
        InputError: it cleans or shortens texts in a way of its own.
    """
    if tokenizer.clean_fn is not _clean_lower or tokenizer.reduction_fn is not None:
        raise InputError("this model's tokenizer cleans or shortens texts in a way that no tokenizer.json can hold")
    names = {tokenizer.sot_token_id: START, tokenizer.eot_token_id: END}
    vocabulary = {names.get(number, word): number for word, number in tokenizer.encoder.items()}
    model = BPE(vocabulary, list(tokenizer.bpe_ranks), end_of_word_suffix="</w>", unk_token=END)
    made = Tokenizer(model)
    escapes = [normalizers.Replace(escape, letter) for escape, letter in ESCAPES.items()]
    repairs = [normalizers.Replace(Regex(pattern), letter) for pattern, letter in REPAIRS.items()]
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    made.normalizer = normalizers.Sequence([*escapes, *repairs, normalizers.NFC(), *spaces, normalizers.Lowercase()])
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


def padded(tokenizer: Tokenizer, length: int) -> Tokenizer:
    """The tokenizer with every text cut and padded to one length, by open_clip's padding (id 0)."""
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token="!")
    return tokenizer


class TokenizerFile:
    """A ``tokenizer.json`` in the place of open_clip's tokenizer: list of strings -> (B, L)."""

    def __init__(self, path: Path, context_length: int):
        self.tokenizer, self.context_length = Tokenizer.from_file(str(path)), context_length

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        padded(self.tokenizer, context_length or self.context_length)
        return torch.tensor([entry.ids for entry in self.tokenizer.encode_batch(list(texts))])


def save_tokenizer(tokenizer: Any, folder: Path) -> dict[str, int | str]:
    """Writes the tokenizer beside a model and says what :func:`load_tokenizer` needs to know.

    CLIP's becomes ``tokenizer.json``; one that comes from the hub keeps its own files, in ``tokenizer/``.
    """
    length = tokenizer.context_length
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.save_pretrained(str(folder / FOLDER))
        clean = getattr(tokenizer.clean_fn, "__name__", "").removeprefix("_clean_")
        return {"file": FOLDER, "context_length": length, "clean": clean or "whitespace"}
    padded(clip_tokenizer_json(tokenizer), length).save(str(folder / FILE))
    return {"file": FILE, "context_length": length}


def load_tokenizer(folder: Path, described: dict) -> Callable:
    """What :func:`save_tokenizer` wrote."""
    if described["file"] == FILE:
        return TokenizerFile(folder / FILE, described["context_length"])
    options = {"context_length": described["context_length"], "clean": described["clean"]}
    return HFTokenizer(str(folder / FOLDER), trust_remote_code=False, **options)


def save_for_transformers(tokenizer: Any, folder: Path) -> None:
    """Writes the files that ``AutoTokenizer`` looks for."""
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.tokenizer.model_max_length = tokenizer.context_length
        tokenizer.save_pretrained(str(folder))
        return
    made = clip_tokenizer_json(tokenizer)
    made.save(str(folder / FILE))
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
