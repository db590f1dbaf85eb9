"""Tokenizers of caption decoders, independent of the text tower's, which may pad, lower or cut differently.

Each has ``vocab_size``, ``stop_id``, ``banned`` (ids that no caption may hold), ``encode``, ``decode`` and ``word_marks``, and
a ``kind`` for `load_tokenizer`.
"""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from e2.adapters.captioning.words import WordMarks
from e2.backbones import clip_tokenizer
from e2.errors import InputError, first_line
from e2.extras import extra

with extra("captioning", "captioning"):
    import sentencepiece

SAMPLE = 500_000  # texts used to learn a vocabulary; more change it little
FILE = "tokenizer.model"


class Tokenizer(Protocol):
    """Interface of tokenizers for a decoder."""

    kind: str
    vocab_size: int
    stop_id: int
    banned: tuple[int, ...]

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def word_marks(self) -> WordMarks: ...

    def save(self, folder: Path) -> None: ...


class SentencePieceTokenizer:
    """Vocabulary of the corpus's own pieces: small, so the decoder is fast and every row of it is trained."""

    kind = "sentencepiece"

    def __init__(self, model: bytes):
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocab_size, self.stop_id = self.processor.vocab_size(), self.processor.eos_id()
        self.banned: tuple[int, ...] = (self.processor.pad_id(), self.processor.unk_id())

    @classmethod
    def trained(cls, texts: Iterable[str], vocab_size: int) -> "SentencePieceTokenizer":
        """Learns up to ``vocab_size`` pieces (byte-pair merges; the same texts in the same order give the same model)."""
        file = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=file,
                model_type="bpe",
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                character_coverage=0.9999,
                max_sentence_length=65536,
                pad_id=0,
                unk_id=1,
                bos_id=-1,
                eos_id=2,
                num_threads=1,
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:  # its own checks raise RuntimeError, with a C++ source line
            reason = str(error).rpartition("]")[2].strip() or "no text to learn from"
            raise InputError(
                f"no vocabulary of {vocab_size} pieces can be learned: {reason}; try another --vocabulary"
            ) from error
        return cls(file.getvalue())

    def encode(self, text: str) -> list[int]:
        return self.processor.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.processor.decode([i for i in ids if i not in self.banned and i != self.stop_id])

    def word_marks(self) -> WordMarks:
        pieces = map(self.processor.id_to_piece, range(self.vocab_size))
        return WordMarks(_beginning(pieces))

    def save(self, folder: Path) -> None:
        (folder / FILE).write_bytes(self.model)


class ClipTokenizer:
    """OpenAI CLIP's byte-pair encoding, as DeCap uses it; lower case."""

    kind = "clip"

    def __init__(self) -> None:
        self.bpe = clip_tokenizer()
        self.vocab_size = self.bpe.vocab_size
        self.start_id, self.stop_id = self.bpe.sot_token_id, self.bpe.eot_token_id
        self.banned: tuple[int, ...] = ()

    def encode(self, text: str) -> list[int]:
        return self.bpe.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self.bpe.decode([i for i in ids if i not in (self.start_id, self.stop_id)]).strip()

    def word_marks(self) -> WordMarks:
        return WordMarks(tuple(i for i in range(self.vocab_size) if self.bpe.decoder[i].endswith("</w>")), last=True)

    def save(self, folder: Path) -> None:
        """Saves nothing: open_clip brings the table."""


class PretrainedTokenizer:
    """Tokenizer of a pre-trained language model, from a folder or from the hub."""

    kind = "pretrained"

    def __init__(self, source: str | Path):
        from transformers import AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise InputError(f"no tokenizer in {source}: {first_line(error)}; give a folder that has one") from error
        if self.tokenizer.eos_token_id is None:
            raise InputError(f"the tokenizer of {source} has no end-of-text token, without which captions cannot stop")
        self.vocab_size, self.stop_id = len(self.tokenizer), self.tokenizer.eos_token_id
        self.banned: tuple[int, ...] = ()

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def word_marks(self) -> WordMarks:
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(self.vocab_size)))
        return WordMarks(_beginning(pieces), first=True)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder / self.kind)


def _beginning(pieces: Iterable[str]) -> tuple[int, ...]:
    """Ids of the pieces that begin a word: SentencePiece marks them so, and GPT-2."""
    return tuple(number for number, piece in enumerate(pieces) if piece.startswith(("▁", "Ġ")))


def load_tokenizer(kind: str, folder: Path) -> Tokenizer:
    """Loads the tokenizer of a captioner's folder."""
    if kind == ClipTokenizer.kind:
        return ClipTokenizer()
    if kind == PretrainedTokenizer.kind:
        return PretrainedTokenizer(folder / kind)
    if kind != SentencePieceTokenizer.kind:
        raise InputError(f"{folder} names an unknown tokenizer {kind!r}; use the e2 that wrote it")
    try:
        return SentencePieceTokenizer((folder / FILE).read_bytes())
    except (OSError, RuntimeError) as error:
        raise InputError(f"{folder / FILE} is missing or damaged; copy the whole captioner folder") from error


def evenly(texts: Sequence[str], count: int = SAMPLE) -> Iterable[str]:
    """Takes at most ``count`` of the texts at even distances: always the same ones."""
    step = max(1, -(-len(texts) // count))
    return (texts[row] for row in range(0, len(texts), step))
