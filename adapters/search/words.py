"""Full-text search, ranked by BM25, tolerant of typing errors; and the one in SQLite's FTS5.

Ids, descriptions and tags are indexed without case and accents, stemmed by Porter's algorithm. In SQLite, triggers keep the
words in step with the table ``products``, in the same transaction. A typed word that no product has is replaced by the most
frequent of those one edit away, after P. Norvig, "How to Write a Spelling Corrector" (2007).
"""

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Protocol

import numpy as np

MOST_WORDS = 32  # of a query
FEW = 6  # words of a query of which any two may be one word of the products
RANKED = 10_000  # matches of a query: among more, its words tell too little
CORRECTED = 4  # words of a query
SHORTEST, LONGEST = 4, 30  # letters of a word that is corrected: each of a longer one's thousands of edits is looked up
EXACT = 50  # products looked at for one that is named exactly
FREQUENT = 1000  # products with a word, counted no further
FUNCTION_WORDS = frozenset(
    re.findall(r"\w+", "a an and are as at be by for from in is it like of on or that the this to with")
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZER = "porter unicode61 remove_diacritics 2"  # of FTS5


@dataclass(frozen=True)
class Matches:
    """Products found by words, by their ids."""

    named: list[str] = field(default_factory=list)  # id or whole description is the query
    ranked: list[str] = field(default_factory=list)  # with all of the words, best first, ``named`` in front
    corrected: dict[str, str] = field(default_factory=dict)  # typed word -> word of the products


class FullText(Protocol):
    """Words of an index, which an engine looks up. A phrase is a word, or several side by side in one text."""

    def counts(self, phrases: Sequence[str], upto: int) -> list[int]:
        """Numbers of products with each phrase, whether they pass a filter or not; counted no further than ``upto``."""

    def named(self, wanted: set[str], words: Sequence[str]) -> Iterable[str]:
        """Ids of products that pass, whose `plain` id or description is wanted and has the words."""

    def ranked(self, ways: Sequence[Sequence[str]], most: int) -> Iterable[str]:
        """Ids of products that pass and have all phrases of one of the ways, best first; at least the best ``most``."""


def word_tables(entities: Sequence[str]) -> str:
    """Returns the script that adds full-text search to a table ``products``."""
    columns = _columns(entities)
    names = ", ".join(columns)
    old, new = (", ".join(f"{which}.{column}" for column in ("row", *columns)) for which in ("old", "new"))
    forget = f"INSERT INTO words (words, rowid, {names}) VALUES ('delete', {old});"
    learn = f"INSERT INTO words (rowid, {names}) VALUES ({new});"
    return f"""
    CREATE VIRTUAL TABLE words USING fts5({names}, content='products', content_rowid='row',
                                          tokenize='{TOKENIZER}');
    CREATE TRIGGER words_added AFTER INSERT ON products BEGIN {learn} END;
    CREATE TRIGGER words_removed AFTER DELETE ON products BEGIN {forget} END;
    CREATE TRIGGER words_moved AFTER UPDATE ON products BEGIN {forget} {learn} END;"""


def has_words(connection: sqlite3.Connection) -> bool:
    """False for an index of an earlier version."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'words'").fetchone())


def in_memory(entities: Sequence[str], products: Iterable[Sequence[str]]) -> sqlite3.Connection:
    """Makes a database of (id, description, tag values...) rows, numbered from 0 on."""
    columns = _columns(entities)
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.executescript(f"CREATE TABLE products (row INTEGER PRIMARY KEY, {', '.join(columns)}); {word_tables(entities)}")
    marks = ", ".join("?" * (1 + len(columns)))
    connection.executemany(f"INSERT INTO products VALUES ({marks})", ((row, *cells) for row, cells in enumerate(products)))
    return connection


def matches(full_text: FullText, text: str, most: int) -> Matches:
    """Finds products that have all of the words, but for those like "of" and "the".

    Some of the words tell less than the vector does, above all where products have gaps in their texts.

    Args:
        text: words; nothing in it is taken for syntax.
        most: products.
    """
    typed = re.findall(r"[^\W_]+", text.encode(errors="ignore").decode())[:MOST_WORDS]
    doubted = [word for word in dict.fromkeys(typed) if _may_be_wrong(word)]
    known = dict(zip(doubted, full_text.counts(doubted, 1), strict=True))
    unknown = [word for word in doubted if not known[word]][:CORRECTED]
    corrected = {word: better for word in unknown if (better := _corrected(full_text, word))}
    words = [corrected.get(word, word) for word in typed]
    if not words:
        return Matches()
    named = list(full_text.named({plain(text), " ".join(words).casefold()}, words))
    ways = [words]
    if len(words) <= FEW:  # "t shirt" for "tshirt"
        ways += [[*words[:place], words[place] + words[place + 1], *words[place + 2 :]] for place in range(len(words) - 1)]
    telling = [phrases for way in ways if (phrases := [word for word in way if word.casefold() not in FUNCTION_WORDS])]
    ranked = full_text.ranked(telling, most) if telling else []
    return Matches(named, list(islice(dict.fromkeys(chain(named, ranked)), most)), corrected)


class DatabaseText:
    """Words of a database with `word_tables`.

    Args:
        connection: of the database.
        passing: ascending rows of the products that pass a filter; a slice for all.
    """

    def __init__(self, connection: sqlite3.Connection, passing: np.ndarray | slice):
        self._connection, self._passing = connection, passing

    def counts(self, phrases: Sequence[str], upto: int) -> list[int]:
        statement = "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
        return [self._connection.execute(statement, [_quoted(phrase), upto]).fetchone()[0] for phrase in phrases]

    def named(self, wanted: set[str], words: Sequence[str]) -> Iterator[str]:
        statement = """SELECT row, product_id, caption
            FROM (SELECT rowid AS found, rank AS score FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?)
            JOIN products ON row = found ORDER BY score, product_id"""
        query = f"{{product_id caption}} : ^{_quoted(' '.join(words))}"
        for row, name, caption in self._connection.execute(statement, [query, EXACT]).fetchall():
            if wanted & {plain(name), plain(caption)} and self._passes(row):
                yield name

    def ranked(self, ways: Sequence[Sequence[str]], most: int) -> Iterator[str]:
        """Ranks the first `RANKED` products."""
        few = not isinstance(self._passing, slice) and len(self._passing) <= RANKED
        rows = "AND rowid IN (SELECT value FROM json_each(?))" if few else ""
        statement = f"""SELECT row, product_id
            FROM (SELECT rowid AS found, rank AS score FROM words WHERE words MATCH ? {rows} LIMIT ?)
            JOIN products ON row = found ORDER BY score, product_id"""
        query = " OR ".join(f"({' AND '.join(map(_quoted, way))})" for way in ways)
        values = [query, *([str(np.asarray(self._passing).tolist())] if few else []), RANKED]
        yield from (name for row, name in self._connection.execute(statement, values) if few or self._passes(row))

    def _passes(self, row: int) -> bool:
        if isinstance(self._passing, slice):
            return True
        place = int(np.searchsorted(self._passing, row))
        return place < len(self._passing) and int(self._passing[place]) == row


class Tokens:
    """Makes the words of FTS5: without case, accents and endings. Thread-safe.

    Example:
        >>> Tokens()(["Crème brûlée, the dresses", "-"])
        [['creme', 'brule', 'the', 'dress'], []]
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._connection.executescript(f"""
            CREATE VIRTUAL TABLE texts USING fts5(text, content='', tokenize='{TOKENIZER}');
            CREATE VIRTUAL TABLE tokens USING fts5vocab(texts, 'instance')""")

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        made: list[list[str]] = [[] for _ in texts]
        with self._lock:
            self._connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", enumerate(texts))
            for row, _, token in sorted(self._connection.execute("SELECT doc, offset, term FROM tokens")):
                made[row].append(token)
            self._connection.execute("INSERT INTO texts (texts) VALUES ('delete-all')")
        return made


def plain(text: str) -> str:
    """Text without case and superfluous blanks, as exact names are compared."""
    return " ".join(text.split()).casefold()


def _columns(entities: Sequence[str]) -> list[str]:
    return ["product_id", "caption", *(f"tag_{number}" for number in range(len(entities)))]


def _may_be_wrong(word: str) -> bool:
    return SHORTEST <= len(word) <= LONGEST and not word.isdigit() and word.casefold() not in FUNCTION_WORDS


def _corrected(full_text: FullText, word: str) -> str | None:
    """Most frequent phrase of products one edit away from an unknown word, with its first letter; None if there is none."""
    others = sorted(_edits(word.casefold()))
    count, best = max(zip(full_text.counts(others, FREQUENT), others, strict=True), key=lambda found: found[0])
    return best if count else None


def _edits(word: str) -> set[str]:
    """Texts one edit away: two words in one, a letter too many, two letters swapped, a wrong or missing letter."""
    letters = sorted({*LETTERS, *word})
    parts = [(word[:place], word[place:]) for place in range(1, len(word) + 1)]
    split = {f"{start} {end}" for start, end in parts if len(start) > 1 and len(end) > 1}
    shorter = {start + end[1:] for start, end in parts if end}
    swapped = {word[:place] + word[place + 1] + word[place] + word[place + 2 :] for place in range(len(word) - 1)}
    other = {start + letter + end[1:] for start, end in parts for letter in letters if end}
    longer = {start + letter + end for start, end in parts for letter in letters}
    return (split | shorter | swapped | other | longer) - {word}


def _quoted(words: str) -> str:
    """Makes a phrase of FTS5."""
    return '"' + words.replace('"', '""') + '"'
