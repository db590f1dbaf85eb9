"""Detects how a text table is written, unless told: compression, encoding and delimiter."""

import codecs
import csv
import functools
import gzip
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

from e2.data import cache
from e2.data.encodings import encoding_of
from e2.errors import InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SPELLED = {"tab": "\t", "\\t": "\t"}  # easy to type in a shell
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16's, which begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
GZIP = b"\x1f\x8b"
MARKS = b"\xef\xbb\xbf\xff\xfe\0"  # bytes that byte order marks are made of
HEAD, PIECE = 1 << 16, 1 << 20
OTHER_FILES = (  # beginning -> what such a file is, whatever it is called
    (rb"PAR1", "a parquet file; let its name end in .parquet"),
    (rb"PK\x03\x04|\xd0\xcf\x11\xe0", "an archive or an Excel workbook; unpack it, or save its sheet as CSV"),
    (rb"\x1f\x8b", "packed twice by gzip; unpack it once"),
    (rb"BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!", "compressed in a way that is not read; unpack it, or use gzip"),
    (rb"\s*<(!doctype html|html|head|body)", "a web page (HTML), saved in place of a table"),
    (rb"\s*<\?xml|\s*<rss|\s*<feed", "XML; `e2 data import merchant:FILE` reads feeds"),
)
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # Excel's
FOREIGN = re.compile("[\udc80-\udcff]")  # bytes that are invalid in the encoding


@dataclass(frozen=True)
class Dialect:
    """Dialect of a text table."""

    encoding: str
    delimiter: str  # JSON lines have none: empty
    skip: int = 0  # lines before the header
    detected: str = ""  # what was detected and differs from what the ending implies, in words


def dialect_of(file: Path, own: str, delimiter: str | None = None, encoding: str | None = None) -> Dialect:
    """Detects what the user does not set; cached until the file changes.

    ``own`` is the delimiter that the file's ending implies, empty for JSON lines.
    """
    if encoding:
        try:
            "".encode(encoding)  # a text encoding: codecs also knows base64 and the like
        except (LookupError, ValueError):
            raise InputError(f"--encoding {encoding!r} is unknown; write e.g. utf-8, utf-16 or cp1252") from None
    delimiter = SPELLED.get(delimiter, delimiter) if delimiter else None
    if delimiter and len(delimiter) != 1:
        raise InputError(f"--delimiter {delimiter!r} is not one character; write e.g. ';' or tab")
    return _dialect(file, cache.file_stamps([file])[0], own, delimiter, encoding)


@functools.lru_cache(maxsize=4096)
def _dialect(file: Path, stamp: tuple[str, int, int], own: str, delimiter: str | None, encoding: str | None) -> Dialect:
    _refuse_others(file)
    found = _marked(file, encoding) if encoding else _encoding(file)
    odd = [] if encoding or found.startswith("utf-8") else [f"as {found}"]
    if not own:
        return Dialect(found, "", 0, " ".join(odd))
    with open_text(file, found) as text:
        head = text.read(HEAD).splitlines(keepends=True)
    named = SEPARATOR_LINE.fullmatch(head[0]) if head else None
    lines = head[1:] if named else head
    chosen = delimiter or (named[1] if named else _delimiter(lines, own))
    if chosen != own and not delimiter:
        odd.append(f"with {DELIMITERS.get(chosen, repr(chosen))} between cells")
    return Dialect(found, chosen, 1 if named else 0, " ".join(odd))


def open_text(file: Path, encoding: str) -> TextIO:
    """Opens a text table; bytes invalid in the encoding become lone surrogates."""
    opener = gzip.open if is_compressed(file) else open
    return cast(TextIO, opener(file, "rt", encoding=encoding, errors="surrogateescape", newline=""))


def open_bytes(file: Path) -> IO[bytes]:
    """Opens a file, unpacked if it is compressed."""
    return cast(IO[bytes], gzip.open(file)) if is_compressed(file) else file.open("rb")


def is_compressed(file: Path) -> bool:
    """True for what gzip wrote, whatever the file's name."""
    with file.open("rb") as content:
        return content.read(len(GZIP)) == GZIP


def foreign_byte(line: str) -> str | None:
    """First byte of a line that is invalid in its encoding, e.g. ``0xe9``; usually None."""
    found = None if line.isascii() else FOREIGN.search(line)
    return f"0x{ord(found[0]) - 0xDC00:02x}" if found else None


def _delimiter(lines: list[str], own: str) -> str:
    """Chooses the delimiter that splits the header into most columns."""

    def columns(delimiter: str) -> int:
        return max(map(len, itertools.islice(csv.reader(lines, delimiter=delimiter), 1)), default=0)

    return max([own, *DELIMITERS], key=columns)


def _encoding(file: Path) -> str:
    """Chooses UTF-8 unless a byte order mark, zero bytes, or more foreign than valid letters say otherwise."""
    with open_bytes(file) as data:
        head = data.read(HEAD)
        if marked := _by_mark(head):
            return marked
        if head.count(0) > len(head) / 4:
            return "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        good, foreign, sample = 0, 0, bytearray()
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        for piece in itertools.chain([head], iter(functools.partial(data.read, PIECE), b"")):
            if piece.isascii() and not decoder.getstate()[0]:  # no letter remains
                continue
            text = decoder.decode(piece)
            bad = len(FOREIGN.findall(text))
            good, foreign = good + sum(map(len, re.findall(r"[^\x00-\x7f]+", text))) - bad, foreign + bad
            if bad and len(sample) < HEAD:
                sample += b"\n".join(line for line in piece.splitlines() if not line.isascii())[:HEAD]
    if foreign <= good:
        return "utf-8"
    return encoding_of(bytes(sample))


def _refuse_others(file: Path) -> None:
    """Refuses what is not a text table, before its bytes are taken for the names of columns."""
    with open_bytes(file) as data:
        head = data.read(HEAD)
    for beginning, kind in OTHER_FILES:
        if re.match(beginning, head, re.IGNORECASE):
            raise InputError(f"{file}: not a table of texts, but {kind}")


def _marked(file: Path, encoding: str) -> str:
    """An encoding that the user sets, with the byte order mark that the file begins with, which is not part of its text."""
    with open_bytes(file) as data:
        marked = _by_mark(data.read(len(codecs.BOM_UTF32)))
    return marked if marked and codecs.lookup(encoding).name.startswith("utf") else encoding


def _by_mark(head: bytes) -> str | None:
    """Encoding that a byte order mark tells."""
    return next((encoding for mark, encoding in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)
