"""Tables for a terminal of any width: no cell and no title wraps where it could stand on one line."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.styled import Styled
from rich.table import Column, Table

ENDLESS = 10_000  # columns of a terminal on which nothing wraps


class WideTable(Table):
    """A table whose columns go on in further tables below where the terminal is too narrow for all of them.

    Args:
        headers: headings, or columns, as `rich.table.Table` takes them.
        keys: number of first columns, which each of these tables repeats.
        options: of `rich.table.Table`. Title and caption are lines of their own, as wide as the terminal.
    """

    def __init__(self, *headers: Column | str, keys: int = 1, **options: Any):
        super().__init__(*headers, **options)
        self.keys = keys

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:  # type: ignore[override]
        if self.title:
            yield Styled(self.title, "table.title")
        first, group = self.columns[: self.keys], list[Column]()
        for column in self.columns[self.keys :]:
            wider = self._part([*first, *group, column])
            if group and Measurement.get(console, options.update(max_width=ENDLESS), wider).maximum > options.max_width:
                yield self._part([*first, *group])
                group = []
            group.append(column)
        yield self._part([*first, *group])
        if self.caption:
            yield Styled(self.caption, "table.caption")

    def _part(self, columns: Sequence[Column]) -> Table:
        """Plain table of some of the columns."""
        part = Table()
        numbered = [replace(column, _index=place) for place, column in enumerate(columns)]
        vars(part).update({**vars(self), "columns": numbered, "title": None, "caption": None})
        return part
