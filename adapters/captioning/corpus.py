"""Training texts of a captioner, from a catalogue, a text file or any list; from twenty to millions.

Texts are stored in one block of bytes with their ends, tags as numbers: about the size of the file, without Python's overhead
per string.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from e2.data.fingerprint import digest
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError
from e2.spelling import spelling


class TextBlock(Sequence[str]):
    """Strings in one block of UTF-8 bytes."""

    def __init__(self, texts: Iterable[str]):
        block, ends = bytearray(), [0]
        for text in texts:
            block += text.encode("utf-8", errors="replace")  # lone surrogates cannot be stored
            ends.append(len(block))
        self.block, self.ends = bytes(block), np.array(ends, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # no slices
        row = range(len(self))[row]
        return self.block[self.ends[row] : self.ends[row + 1]].decode()

    def digests(self) -> np.ndarray:
        """64-bit hashes (N,), for comparing texts quickly."""
        spans = zip(self.ends[:-1].tolist(), self.ends[1:].tolist(), strict=True)
        found = (hashlib.blake2b(self.block[start:end], digest_size=8).digest() for start, end in spans)
        return np.frombuffer(b"".join(found), dtype=np.uint64)


@dataclass
class Corpus:
    """Distinct texts for the encoder, and the training rows (several products may share a text)."""

    texts: Sequence[str]  # U distinct texts, in order of first appearance
    rows: np.ndarray  # (R,) text of each row
    tags: np.ndarray  # (R, E) the row's value of each entity, -1 for a missing one; E = 0 without tags
    vocabulary: dict[str, list[str]] = field(default_factory=dict)  # entity -> values that ``tags`` numbers
    # (R,) number of the row's product; only equality matters
    products: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def tags_of(self, row: int) -> dict[str, str]:
        """Entity -> value of a row."""
        pairs = zip(self.vocabulary.items(), self.tags[row].tolist(), strict=True)
        return {entity: values[value] for (entity, values), value in pairs if value >= 0}

    def fingerprint(self) -> str:
        """SHA-256 of the texts and of each product's text and tags."""
        parts = (np.asarray(self.rows, np.int64), np.asarray(self.tags, np.int64), np.asarray(self.products, np.int64))
        return digest([*self.texts, *(part.tobytes().hex() for part in parts), repr(self.vocabulary)])

    def like_groups(self) -> np.ndarray:
        """Group of each text (U,): texts of the same product, or of products with equal tags, share a number; -1: no group."""
        keys = self.products[:, None] if not self.tags.shape[1] else self.tags
        whole = np.ones(len(keys), bool) if not self.tags.shape[1] else (self.tags >= 0).all(axis=1)
        _, numbers = np.unique(keys, axis=0, return_inverse=True)
        groups = np.full(len(self.texts), -1, np.int64)
        groups[self.rows[whole]] = numbers.reshape(-1)[whole]
        return groups


def corpus_of_catalogue(catalogue: Catalogue, text: str = "caption", vocabulary: dict[str, list[str]] | None = None) -> Corpus:
    """Collects all captions of a split, with the product's tags that are in the vocabulary.

    Args:
        catalogue: one split; photos are not read if the source can skip them.
        text: ``caption`` or ``full``.
        vocabulary: of `e2.adapters.tag_reader.tag_vocabulary`, whose spelling is used; values outside it count as missing, and
            of several the first counts.
    """
    require_text(text)
    vocabulary = vocabulary or {}
    numbers = [{spelling(value): number for number, value in enumerate(values)} for values in vocabulary.values()]
    tags: list[list[int]] = []
    products: list[int] = []

    def texts() -> Iterator[str]:
        for row, product in enumerate(without_photos(catalogue)):
            own = product.values
            values = [_number(own.get(entity, ()), known) for entity, known in zip(vocabulary, numbers, strict=True)]
            for caption in range(len(product.captions)):
                tags.append(values)
                products.append(row)
                yield " ".join(product.text(text, caption).split())

    block = TextBlock(texts())
    table = np.array(tags, dtype=np.int32).reshape(len(block), len(vocabulary))
    return _distinct(block, table, vocabulary, np.array(products, np.int64), f"{catalogue.name} split {catalogue.split}")


def _number(values: Iterable[str], known: Mapping[str, int]) -> int:
    """Number of the first known value; -1 = none."""
    return next((known[key] for key in map(spelling, values) if key in known), -1)


def corpus_of_texts(texts: Iterable[str], name: str = "the list of texts") -> Corpus:
    """Collects any texts, without tags; blank ones are left out."""
    block = TextBlock(line for text in texts if (line := " ".join(text.split())))
    return _distinct(block, np.zeros((len(block), 0), np.int32), {}, np.arange(len(block)), name)


def read_lines(path: str | Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 text file."""
    number = 0
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 near line {number + 1}; convert it, e.g. by iconv -f latin1 -t utf-8"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def held_out(corpus: Corpus, count: int) -> np.ndarray:
    """Mask (U,) of about ``count`` held-out texts, at most a twentieth, chosen by hash: a text is held out for all its
    products or none.
    """
    share = min(0.05, count / len(corpus.texts))
    digests = TextBlock(corpus.texts).digests() if not isinstance(corpus.texts, TextBlock) else corpus.texts.digests()
    chosen = digests < np.uint64(share * 2**64)
    if not chosen.any() or chosen.all():  # a handful of texts
        chosen = digests == digests.min()
    return chosen


def _distinct(block: TextBlock, tags: np.ndarray, vocabulary: dict, products: np.ndarray, name: str) -> Corpus:
    _, first, inverse = np.unique(block.digests(), return_index=True, return_inverse=True)
    if len(first) < 2:
        found = f"{len(first)} distinct text" if len(first) else "no text"
        raise InputError(f"{name} holds {found}; a captioner learns from two or more, useful ones from thousands")
    order = np.argsort(first, kind="stable")  # by first appearance
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    distinct = block if len(first) == len(block) else TextBlock(block[row] for row in first[order].tolist())
    return Corpus(distinct, number[inverse.reshape(-1)], tags, vocabulary, products)
