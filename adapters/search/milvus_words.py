"""Full text on a Milvus server, from version 2.5 on, and on Milvus Lite: its own BM25, over words made here.

The field ``terms`` has the words of a product as SQLite's FTS5 makes them (`e2.adapters.search.words`), so both engines find
the same products. The server splits them at blanks, and keeps their weights in ``bm25``. Words that are not ASCII, or long,
are written as digests, which any analyzer takes for one word. So are the whole id and the whole description, by which products
that are named exactly are found.

**What may differ between the engines is the order of products with the same words**: Milvus's BM25 rates a word by
``ln(1 + (N - n + 0.5) / (n + 0.5))``, FTS5 without the 1, so that words of most products count for more here; digests are two
more words of each product; a server of several shards counts in each, Milvus Lite in each segment. Of more products than
asked for, the best may differ likewise, and FTS5 ranks only the first `RANKED`. Corrections are the same.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from pymilvus import CollectionSchema, DataType, Function, FunctionType

from e2.adapters.search.words import EXACT, Tokens, plain

TERMS, WEIGHTS = "terms", "bm25"  # fields
MOST_BYTES = 65_535  # of a text, Milvus's limit
LONGEST = 32  # letters of a word that is written as it is
BREAK = " . "  # between the texts of a product: no phrase goes over it
SATURATION, LENGTH = 1.2, 0.75  # of BM25, as in FTS5


def add_fields(fields: CollectionSchema) -> None:
    """Adds full text to a schema."""
    analyzer = {"tokenizer": "standard"}  # a server also knows ``whitespace``, Milvus Lite does not
    options = {"max_length": MOST_BYTES, "enable_analyzer": True, "enable_match": True, "analyzer_params": analyzer}
    fields.add_field(TERMS, DataType.VARCHAR, **options)
    fields.add_field(WEIGHTS, DataType.SPARSE_FLOAT_VECTOR)
    fields.add_function(Function(WEIGHTS, FunctionType.BM25, input_field_names=[TERMS], output_field_names=[WEIGHTS]))


def add_index(params: Any) -> None:
    """Adds the index of the words to pymilvus's parameters of indexes."""
    weights = {"bm25_k1": SATURATION, "bm25_b": LENGTH}
    params.add_index(WEIGHTS, index_name=WEIGHTS, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=weights)


def has_full_text(description: dict[str, Any]) -> bool:
    """True if a collection's words are on its server; earlier servers leave out what they do not know."""
    return any(WEIGHTS in function["output_field_names"] for function in description.get("functions") or [])


def terms_of(tokens: Tokens, products: Sequence[Sequence[str]]) -> list[str]:
    """Writes the words of products, each given as id, description and tags; those beyond `MOST_BYTES` are left out.

    Example:
        >>> terms_of(Tokens(), [["7", "Red dresses", "Nike"]])[0].split(" ", 3)[3]
        '. 7 . nike . red dress '
    """
    written: list[str] = []
    words = iter(tokens([text for product in products for text in product]))
    for product in products:
        name, caption, *tags = (" ".join(map(_written, next(words))) for _ in product)
        exact = " ".join(_name(plain(text)) for text in product[:2])
        whole = f" {BREAK.join([exact, name, *tags, caption])} "
        written.append(whole if len(whole) <= MOST_BYTES else whole[:MOST_BYTES].rpartition(" ")[0] + " ")
    return written


class ServerText:
    """A `FullText` on a server.

    Args:
        call: calls a method of pymilvus's client for the collection.
        tokens: makes words.
        passing: filter in Milvus's language; every product passes the empty one.
        scans: whether texts are gone through: Milvus Lite has no index for `TEXT_MATCH`, which takes it ten times as long.
    """

    def __init__(self, call: Callable[..., Any], tokens: Tokens, passing: str, *, scans: bool):
        self._call, self._tokens, self._passing, self._scans = call, tokens, passing, scans

    def counts(self, phrases: Sequence[str], upto: int) -> list[int]:
        made = self._phrases(phrases)
        known = self._known(sorted({word for phrase in made for word in phrase}))
        return [self._count(phrase, upto) if phrase and known.issuperset(phrase) else 0 for phrase in made]

    def named(self, wanted: set[str], words: Sequence[str]) -> Iterable[str]:
        each = [[word] for phrase in self._phrases(words) for word in phrase]
        return self._best([[[_name(text)], *each] for text in sorted(wanted)] if each else [], EXACT)

    def ranked(self, ways: Sequence[Sequence[str]], most: int) -> Iterable[str]:
        return self._best([way for way in map(self._phrases, ways) if all(way)], most)

    def _phrases(self, phrases: Sequence[str]) -> list[list[str]]:
        return [list(map(_written, words)) for words in self._tokens(phrases)]

    def _known(self, words: list[str]) -> set[str]:
        """Those that a product has."""
        return {word for word, found in zip(words, self._search(words, 1, ""), strict=True) if found} if words else set()

    def _count(self, phrase: Sequence[str], upto: int) -> int:
        if len(phrase) == upto == 1:  # it is known
            return 1
        options = {"output_fields": ["count(*)"], "consistency_level": "Session"}
        return min(upto, int(self._call("query", filter=self._has(phrase), **options)[0]["count(*)"]))

    def _best(self, ways: Sequence[Sequence[Sequence[str]]], most: int) -> Iterator[str]:
        """Ranks products by the words of all ways, as FTS5 does; those of equal scores by their ids."""
        if not ways:
            return
        passing = " or ".join(f"({' and '.join(map(self._has, way))})" for way in ways)
        if self._passing:
            passing = f"({passing}) and ({self._passing})"
        query = " ".join(word for way in ways for phrase in way for word in phrase)
        for _, alike in groupby(self._search([query], most, passing)[0], lambda hit: hit["distance"]):
            yield from sorted(hit["entity"]["product_id"] for hit in alike)

    def _search(self, texts: list[str], most: int, passing: str) -> Any:
        parameters = {"metric_type": "BM25"}
        options = {"anns_field": WEIGHTS, "search_params": parameters, "consistency_level": "Session"}
        return self._call("search", data=texts, limit=most, filter=passing, output_fields=["product_id"], **options)

    def _has(self, phrase: Sequence[str]) -> str:
        """Writes the filter for products with a phrase."""
        scan = f'{TERMS} like "% {" ".join(phrase)} %"'
        if self._scans:
            return scan
        each = " and ".join(f'TEXT_MATCH({TERMS}, "{word}")' for word in phrase)
        return each if len(phrase) == 1 else f"{each} and {scan}"


def _written(word: str) -> str:
    return word if word.isascii() and len(word) <= LONGEST else "w" + _digest(word)


def _name(text: str) -> str:
    """One word for a whole id or description."""
    return "n" + _digest(text)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
