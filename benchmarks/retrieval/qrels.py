"""Relevance judgements (qrels): queries and the products that answer them, as TREC, BEIR and leaderboards write them.

| file | form | texts of the queries |
|---|---|---|
| ``*.json`` | ``{query: {product id: grade}}`` | the keys, or ``queries`` |
| BEIR's tsv | the header ``query-id corpus-id score``, then a row per judgement, tabs between | ``queries`` |
| TREC's | ``query iteration product grade`` in each line | ``queries`` |

A file of queries is BEIR's JSON lines (``{"_id": ..., "text": ...}``), JSON ``{id: text}``, or ``id<TAB>text`` in each line.
A product is relevant if its grade is above zero; nDCG counts higher grades more.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from e2.errors import InputError, first_line, printable
from e2.json_once import RepeatedKey, loads_once

BEIR = ["query-id", "corpus-id", "score"]
FORMS = "JSON {query: {product id: grade}}, BEIR's tsv with its header, or TREC's lines `query 0 product grade`"
LARGEST = 1000  # grade: trec_eval keeps an array as long as the highest one


@dataclass(frozen=True)
class Qrels:
    """Judged queries.

    Attributes:
        path: file that they are from.
        texts: query -> its text.
        relevant: query -> product id -> grade, above zero; at least one for each query.
        unanswered: number of queries left out because no product is relevant to them.
        outside: number of judgements left out because their product is not in the gallery.
    """

    path: Path
    texts: dict[str, str]
    relevant: dict[str, dict[str, int]]
    unanswered: int = 0
    outside: int = 0

    @property
    def products(self) -> set[str]:
        """Ids of all relevant products."""
        return {product for grades in self.relevant.values() for product in grades}

    def within(self, gallery: Container[str]) -> "Qrels":
        """Leaves out products that are not in a gallery, and queries that have no other.

        Raises:
            InputError: nothing is left.
        """
        kept = {
            query: {product: grade for product, grade in grades.items() if product in gallery}
            for query, grades in self.relevant.items()
        }
        answered = {query: grades for query, grades in kept.items() if grades}
        if not answered:
            some = printable(min(self.products))
            raise InputError(
                f"none of the {len(self.products):,} relevant products of {self.path}, e.g. {some}, is in the gallery; "
                "check --data, --split and --id-column"
            )
        before, after = (sum(map(len, each.values())) for each in (self.relevant, answered))
        lost = self.unanswered + len(kept) - len(answered)
        return replace(self, relevant=answered, unanswered=lost, outside=self.outside + before - after)


def read_qrels(path: str | Path, queries: str | Path | None = None) -> Qrels:
    """Reads a file of judgements and, if its queries are ids, the file of their texts.

    Raises:
        InputError: a file that cannot be read or has another form, no relevant product at all, or a query without a text.
    """
    path = Path(path)
    written, named = _read_json(path) if path.suffix.lower() == ".json" else _read_rows(path)
    if any(not product.strip() for grades in written.values() for product in grades):
        raise InputError(f"{path} judges a product without an id; give {FORMS}")
    relevant = {query: found for query, grades in written.items() if (found := {i: g for i, g in grades.items() if g > 0})}
    if not relevant:
        raise InputError(f"{path} judges no product relevant to any query; give {FORMS}")
    if queries is None and not named:
        raise InputError(f"{path} names its queries by ids; give their texts by --queries")
    texts = {query: query for query in relevant} if queries is None else _read_queries(Path(queries))
    if bare := [query for query in relevant if not texts.get(query, "").strip()]:
        where = queries or path
        raise InputError(f"{where} has no text for {len(bare):,} of the queries of {path}, e.g. {printable(bare[0])!r}")
    return Qrels(path, texts, relevant, unanswered=len(written) - len(relevant))


def read_ids(path: str | Path) -> set[str]:
    """Reads product ids, one a line.

    Raises:
        InputError: the file cannot be read, or is empty.
    """
    ids = {line.strip() for line in _read(Path(path)).splitlines()} - {""}
    if not ids:
        raise InputError(f"{path} is empty; give product ids, one a line")
    return ids


Judgements = tuple[dict[str, dict[str, int]], bool]  # query -> product -> grade; True if queries are texts


def _read_json(path: Path) -> Judgements:
    content = _parsed(_read(path), f"{path}", FORMS)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object; give {FORMS}")
    for query, grades in content.items():
        if not isinstance(grades, dict) or not all(_is_grade(grade) for grade in grades.values()):
            raise InputError(f"{path}, query {printable(query)!r}: expected {{product id: grade of 0 to {LARGEST}}}")
    return {query: {product: int(grade) for product, grade in grades.items()} for query, grades in content.items()}, True


def _read_rows(path: Path) -> Judgements:
    """Reads TREC's or, by their header, BEIR's rows."""
    found: dict[str, dict[str, int]] = {}
    lines = list(_lines(path))
    beir = bool(lines) and lines[0][1].lower().replace("_", "-").split() == BEIR
    for number, line in lines[beir:]:
        cells = line.split("\t") if beir else line.split()
        grade = _number(cells[-1])
        if grade is None or len(cells) != (3 if beir else 4):
            raise InputError(f"{path}, line {number}: is not a judgement with a grade of 0 to {LARGEST}; give {FORMS}")
        query, product = cells[0].strip(), cells[-2].strip()
        if found.setdefault(query, {}).setdefault(product, grade) != grade:
            raise InputError(
                f"{path}, line {number}: {printable(product)!r} has two grades for {printable(query)!r}; keep one"
            )
    return found, False


def _read_queries(path: Path) -> dict[str, str]:
    """Reads query id -> text."""
    forms = 'JSON lines {"_id": ..., "text": ...}, JSON {id: text}, or id<TAB>text in each line'
    if path.suffix.lower() == ".json":
        content = _parsed(_read(path), f"{path}", forms)
        if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
            raise InputError(f"{path} holds no queries; give {forms}")
        return content
    read = _entry if path.suffix.lower() == ".jsonl" else _cells
    texts: dict[str, str] = {}
    for number, line in _lines(path):
        query, text = read(line, f"{path}, line {number}")
        if not isinstance(query, str) or not isinstance(text, str) or not text:
            raise InputError(f"{path}, line {number}: is not a query; give {forms}")
        if texts.setdefault(query.strip(), text.strip()) != text.strip():
            raise InputError(f"{path}, line {number}: query {printable(query)!r} has two texts; keep one")
    return texts


def _entry(line: str, where: str) -> tuple[Any, Any]:
    entry = _parsed(line, where, 'one object {"_id": ..., "text": ...}')
    if not isinstance(entry, dict):
        return None, None
    query = entry.get("_id")
    return (str(query) if isinstance(query, int) and not isinstance(query, bool) else query), entry.get("text")


def _cells(line: str, where: str) -> tuple[str, str]:
    query, _, text = line.partition("\t")
    return query, text


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yields number and text of the lines that are not blank."""
    return ((number, line) for number, line in enumerate(_read(path).split("\n"), start=1) if line.strip())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}); give a text file in UTF-8") from error


def _parsed(text: str, where: str, wanted: str) -> Any:
    try:
        return loads_once(text)
    except RepeatedKey as error:
        raise InputError(f"{where} names {printable(str(error))!r} twice in one object; keep one") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({first_line(error)}); give {wanted}") from error


def _is_grade(value: Any) -> bool:
    """True for a whole number, as ``2.0`` too, which is what other tools make of ``2``."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return whole and not isinstance(value, bool) and value <= LARGEST


def _number(text: str) -> int | None:
    """A grade, or None."""
    text = text.strip()
    return grade if re.fullmatch(r"[+-]?[0-9]{1,9}(\.0*)?", text) and _is_grade(grade := int(float(text))) else None
