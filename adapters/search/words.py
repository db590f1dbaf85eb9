"""Full-text search over the products of an SQLite database: FTS5, ranked by BM25, tolerant of typing errors.

Ids, descriptions and tags are indexed without case and accents, stemmed by Porter's algorithm. Triggers keep the words in
step with the table ``products``, in the same transaction. A typed word that no product has is replaced by the most frequent of
those one edit away, after P. Norvig, "How to Write a Spelling Corrector" (2007).
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

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


@dataclass(frozen=True)
class Matches:
    """Products found by words, by their ids."""

    named: list[str] = field(default_factory=list)  # id or whole description is the query
    ranked: list[str] = field(default_factory=list)  # with all of the words, best first, ``named`` in front
    corrected: dict[str, str] = field(default_factory=dict)  # typed word -> word of the products


def word_tables(entities: Sequence[str]) -> str:
    """Returns the script that adds full-text search to a table ``products``."""
    columns = _columns(entities)
    names = ", ".join(columns)
    old, new = (", ".join(f"{which}.{column}" for column in ("row", *columns)) for which in ("old", "new"))
    forget = f"INSERT INTO words (words, rowid, {names}) VALUES ('delete', {old});"
    learn = f"INSERT INTO words (rowid, {names}) VALUES ({new});"
    return f"""
    CREATE VIRTUAL TABLE words USING fts5({names}, content='products', content_rowid='row',
                                          tokenize='porter unicode61 remove_diacritics 2');
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


def matches(connection: sqlite3.Connection, text: str, most: int, passing: np.ndarray | slice) -> Matches:
    """Finds products that have all of the words, but for those like "of" and "the".

    Some of the words tell less than the vector does, above all where products have gaps in their texts.

    Args:
        connection: of a database with `word_tables`.
        text: words; nothing in it is taken for syntax.
        most: products.
        passing: ascending rows of the products that pass a filter; a slice for all.
    """
    typed = re.findall(r"[^\W_]+", text.encode(errors="ignore").decode())[:MOST_WORDS]
    unknown = [word for word in dict.fromkeys(typed) if _may_be_wrong(connection, word)][:CORRECTED]
    corrected = {word: better for word in unknown if (better := _corrected(connection, word))}
    words = [corrected.get(word, word) for word in typed]
    if not words:
        return Matches()
    named = [name for row, name in _named(connection, text, words) if _is_in(row, passing)]
    ways = [words]
    if len(words) <= FEW:  # "t shirt" for "tshirt"
        ways += [[*words[:place], words[place] + words[place + 1], *words[place + 2 :]] for place in range(len(words) - 1)]
    telling = [quoted for way in ways if (quoted := [_quoted(word) for word in way if word.casefold() not in FUNCTION_WORDS])]
    query = " OR ".join(f"({' AND '.join(quoted)})" for quoted in telling)
    ranked: Iterable[str] = _ranked(connection, query, passing) if query else []
    return Matches(named, list(islice(dict.fromkeys(chain(named, ranked)), most)), corrected)


def _columns(entities: Sequence[str]) -> list[str]:
    return ["product_id", "caption", *(f"tag_{number}" for number in range(len(entities)))]


def _ranked(connection: sqlite3.Connection, query: str, passing: np.ndarray | slice) -> Iterator[str]:
    """Ranks the first `RANKED` products that match and pass."""
    few = not isinstance(passing, slice) and len(passing) <= RANKED
    rows = "AND rowid IN (SELECT value FROM json_each(?))" if few else ""
    statement = f"""SELECT row, product_id
        FROM (SELECT rowid AS found, rank AS score FROM words WHERE words MATCH ? {rows} LIMIT ?)
        JOIN products ON row = found ORDER BY score, product_id"""
    values = [query, *([str(np.asarray(passing).tolist())] if few else []), RANKED]
    yield from (name for row, name in connection.execute(statement, values) if few or _is_in(row, passing))


def _named(connection: sqlite3.Connection, text: str, words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Products whose id or whole description is the text, or the corrected words."""
    wanted = {_plain(text), " ".join(words).casefold()}
    statement = """SELECT row, product_id, caption
        FROM (SELECT rowid AS found, rank AS score FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?)
        JOIN products ON row = found ORDER BY score, product_id"""
    query = f"{{product_id caption}} : ^{_quoted(' '.join(words))}"
    for row, name, caption in connection.execute(statement, [query, EXACT]).fetchall():
        if wanted & {_plain(name), _plain(caption)}:
            yield row, name


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _may_be_wrong(connection: sqlite3.Connection, word: str) -> bool:
    if not SHORTEST <= len(word) <= LONGEST or word.isdigit() or word.casefold() in FUNCTION_WORDS:
        return False
    return not _count(connection, word)


def _corrected(connection: sqlite3.Connection, word: str) -> str | None:
    """Most frequent word of the products one edit away from an unknown one, with its first letter; None if there is none."""
    found = {other: _count(connection, other) for other in sorted(_edits(word.casefold()))}
    best = max(found, key=lambda other: found[other])
    return best if found[best] else None


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


def _count(connection: sqlite3.Connection, word: str) -> int:
    """Number of products with a word, up to `FREQUENT`."""
    statement = "SELECT COUNT(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
    return connection.execute(statement, [_quoted(word), FREQUENT]).fetchone()[0]


def _quoted(words: str) -> str:
    """Makes a phrase of FTS5."""
    return '"' + words.replace('"', '""') + '"'


def _is_in(row: int, passing: np.ndarray | slice) -> bool:
    if isinstance(passing, slice):
        return True
    place = int(np.searchsorted(passing, row))
    return place < len(passing) and int(passing[place]) == row
