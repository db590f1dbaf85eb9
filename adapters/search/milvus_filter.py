"""Writes filters in the language of Milvus, as servers from 2.3 on read it: no parameters, no patterns of ends."""

from collections.abc import Callable, Iterable, Iterator

from e2.adapters.search.filters import And, Filter, Not, OneOf, quoted
from e2.data.product import SEPARATOR

SEVERAL = "several"  # field that lists the values, as `listed` writes them, of the tags that have several


def milvus_expression(tree: Filter, column: Callable[[str], str]) -> str:
    """Writes the filter in Milvus's language; ``column`` gives the field that holds an entity."""
    if isinstance(tree, OneOf):
        field = column(tree.entity)
        values = [value for value in tree.values if SEPARATOR not in value]  # several are no value
        alone, among = f"{field} in {milvus_list(values)}", milvus_list(listed(field, filter(None, values)))
        return alone if among == "[]" else f"{alone} or array_contains_any({SEVERAL}, {among})"
    if isinstance(tree, Not):
        return f"not ({milvus_expression(tree.inner, column)})"
    word = " and " if isinstance(tree, And) else " or "
    return word.join(f"({milvus_expression(part, column)})" for part in tree.parts)


def listed(field: str, values: Iterable[str]) -> list[str]:
    """Writes a tag's values for the field that lists those of all tags; ``field``: the tag's own."""
    return [f"{field}:{value}" for value in values]


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
