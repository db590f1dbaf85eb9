"""Writes filters in the language of Milvus. Values are escaped: servers before 2.5 take no parameters."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from e2.adapters.search.filters import And, Filter, Not, OneOf, quoted
from e2.data.product import SEPARATOR


def milvus_expression(tree: Filter, column: Callable[[str], str]) -> str:
    """Writes the filter in Milvus's language; ``column`` gives the field that holds an entity."""
    if isinstance(tree, OneOf):
        field = column(tree.entity)
        values = [value for value in tree.values if SEPARATOR not in value]  # several are no value
        return " or ".join([f"{field} in {milvus_list(values)}", *_among_several(field, values)])
    if isinstance(tree, Not):
        return f"not ({milvus_expression(tree.inner, column)})"
    word = " and " if isinstance(tree, And) else " or "
    return word.join(f"({milvus_expression(part, column)})" for part in tree.parts)


def _among_several(field: str, values: Sequence[str]) -> Iterator[str]:
    """Tests in Milvus's language whether a value is the first, a middle one or the last of several."""
    for value in filter(None, _known(values)):
        text = re.sub("[%_]", r"\\\g<0>", value)  # a backslash before another letter is one
        for pattern in (f"{text}{SEPARATOR}%", f"%{SEPARATOR}{text}{SEPARATOR}%", f"%{SEPARATOR}{text}"):
            yield f"{field} like {milvus_text(pattern)}"


def milvus_text(text: str) -> str:
    """Quotes and escapes a text."""
    escaped = quoted(text)
    for letter, name in (("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        escaped = escaped.replace(letter, name)
    return escaped


def milvus_list(texts: Iterable[str]) -> str:
    """Writes texts as a list without non-Unicode ones, which no product has."""
    return f"[{', '.join(map(milvus_text, _known(texts)))}]"


def _known(texts: Iterable[str]) -> Iterator[str]:
    """Texts that a product may have, Unicode ones."""
    return (text for text in texts if text.encode(errors="ignore").decode() == text)
