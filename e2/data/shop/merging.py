"""Merges the rows of one product: its photos, variants and their values."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from e2.data.columns import MOST_VALUES
from e2.data.shop.layout import IMAGE, POSITION
from e2.data.shop.rows import ExportRow


class Merged:
    """A product as its rows add up: each distinct value of a field once, in the order in which they came."""

    def __init__(self, most_photos: int):
        self._most_photos = most_photos
        self._fields: dict[str, dict[Any, float]] = {}
        self._beyond: Counter[str] = Counter()
        self.malformed: str | None = None

    def add(self, row: ExportRow) -> "Merged":
        """Adds a row; its image position is that of its first photo."""
        self.malformed = row.malformed
        for name, values in row.fields.items():
            if name != POSITION:
                known, limit = self._fields.setdefault(name, {}), self._most_photos if name == IMAGE else MOST_VALUES
                for place, value in enumerate(values):
                    if value not in known and len(known) >= limit:
                        self._beyond[name] += 1
                    else:
                        known.setdefault(value, _position(row) if name == IMAGE and not place else float("inf"))
        return self

    @property
    def fields(self) -> dict[str, list[Any]]:
        """Name -> distinct values; photos in the order of their positions."""
        return {
            name: sorted(known, key=known.__getitem__) if name == IMAGE else list(known)
            for name, known in self._fields.items()
        }

    def notes(self) -> list[dict[str, str]]:
        """Notes on values that were too many to keep."""
        return [
            {"what": f"photos beyond the first {self._most_photos:,} of a product left out", "value": f"{count:,}"}
            if name == IMAGE
            else {"what": f"values beyond the first {MOST_VALUES:,} of a product left out", "value": f"{count:,} of {name}"}
            for name, count in self._beyond.items()
        ]


def _position(row: ExportRow) -> float:
    try:
        return float(row.fields[POSITION][0])
    except (KeyError, IndexError, ValueError):
        return float("inf")


def merged(
    rows: Iterable[ExportRow], key: Callable[[ExportRow], str | None], counts: Counter[str], most_photos: int
) -> Iterator[Merged]:
    """Yields each product when its last row has been read, so that only those between rows are in memory.

    Rows of one ``key`` are a product, rows without one a product each; ``counts`` (key -> number of rows) is used up.
    """
    under_way: dict[str, Merged] = {}
    for row in rows:
        name = None if row.malformed else key(row)
        if name is None or name not in counts:
            yield Merged(most_photos).add(row)
            continue
        under_way.setdefault(name, Merged(most_photos)).add(row)
        counts[name] -= 1
        if counts[name] <= 0:
            yield under_way.pop(name)
