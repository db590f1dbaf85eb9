"""Tabulates hits and facts of an index for the terminal, with whole, unformatted, escaped texts."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from e2.adapters.search.store import IndexHit

VALUES = 8  # values of a tag that are listed
LONGEST = 30  # columns of ids that stand on one line, to be copied


def hits_shown(steps: Mapping[str, Any], hits: Sequence[IndexHit], wish: str | None = None) -> list[str | Table]:
    """The steps of a query, a line each, then a table of the hits."""
    lines = [written_out(f"{name}: {_in_words(value) or 'none'}") for name, value in steps.items()]
    title = None if wish is None else Text(f"like the photo, but: {written_out(wish)}")
    return [*lines, hits_table(hits, title) if hits else "no product passes the filter"]


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{name} {words}" for name, words in value.items()]
    return value if isinstance(value, str) else ", ".join(map(str, value))


def hits_table(hits: Sequence[IndexHit], title: Text | None = None) -> Table:
    """Tabulates rank, score, id, description and tags."""
    table = Table(title=title)
    for name in ("rank", "score"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("product", overflow="fold", no_wrap=all(cell_len(written_out(hit.product_id)) <= LONGEST for hit in hits))
    for name in ("description", "tags"):
        table.add_column(name, overflow="fold")
    for rank, hit in enumerate(hits, start=1):
        cells = (str(rank), f"{hit.score:.3f}", hit.product_id, hit.caption, ", ".join(hit.tags.values()))
        table.add_row(*(Text(written_out(cell)) for cell in cells))
    return table


def info_table(address: str, record: Mapping[str, Any]) -> Table:
    """Tabulates the manifest, then each tag with its most frequent values."""
    table = Table(show_header=False)
    table.add_row("index", Text(written_out(address)))
    encoder = record["encoder"]
    state = "" if record["complete"] else "; the build was stopped; continue with e2 index build --resume"
    facts = {
        "products": f"{record['count']:,}{state}",
        "vectors": f"{record['dim']} numbers in {record['vector_type']}",
        "encoder": f"{encoder['path']} ({encoder['backbone']}, {encoder['method']}, {encoder['weights_sha256'][:12]})",
        "built from": f"{record['data']}, split {record['split']}",
        "created": f"{record['created']} by version {record['version']}",
    }
    for name, value in facts.items():
        table.add_row(name, Text(written_out(value)))
    for entity, values in record["facets"].items():
        shown = ", ".join(f"{value} {count:,}" for value, count in list(values.items())[:VALUES])
        more = f", and {len(values) - VALUES:,} more" if len(values) > VALUES else ""
        table.add_row(Text(written_out(f"tag {entity}")), Text(written_out(shown + more)))
    return table


def written_out(text: str) -> str:
    r"""The text with line breaks, terminal codes and invisible letters as escapes, so that nothing runs and nothing is lost.

    Example:
        >>> print(written_out("tab\tand \x1b[31mred, é"))
        tab\tand \x1b[31mred, é
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
