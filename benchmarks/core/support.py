"""Decides by intervals what tables, pages and terminals mark, colour or set bold."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Bounds = Sequence[float]  # low and high end of a 95 % interval


def sign(value: float, bounds: Bounds | None, digits: int = 1) -> int:
    """Returns 1 or -1 if a difference's interval lies above or below zero, 0 if it includes zero or the difference rounds to
    zero.

    Example:
        >>> sign(0.8, (0.1, 1.5)), sign(0.8, (-0.1, 1.7)), sign(-0.04, (-0.06, -0.02))
        (1, 0, 0)
    """
    if bounds is None or round(value, digits) == 0:
        return 0
    low, high = bounds
    return 1 if low > 0 else -1 if high < 0 else 0


def signed(value: float, digits: int = 1) -> str:
    """Formats a difference: ``+0.8``; values that round to zero are ``+0.0``."""
    return f"{round(value, digits) + 0.0:+.{digits}f}"


def leader(
    values: Sequence[float | None],
    bounds: Sequence[Bounds | None],
    paired: Callable[[int, int], Bounds | None] | None = None,
    *,
    lowest: bool = False,
) -> int | None:
    """Index of the value that leads every other one by the intervals; None if there is none.

    Args:
        values: None if missing.
        bounds: their own intervals, which must not overlap if no paired difference is known.
        paired: interval of the difference of two indices, the first minus the second, if measured.
        lowest: smaller values lead.

    Example:
        >>> leader([40.0, 30.0, None], [(38, 42), (29, 31), None]), leader([40.0, 39.0], [(38, 42), (37, 41)])
        (0, None)
    """
    known = {place: value for place, value in enumerate(values) if value is not None}
    if len(known) < 2:
        return None
    first = (min if lowest else max)(known, key=lambda place: known[place])

    def ahead(other: int) -> bool:
        found = paired(first, other) if paired else None
        own, theirs = bounds[first], bounds[other]
        if found is None and own is not None and theirs is not None:
            found = (own[0] - theirs[1], own[1] - theirs[0])
        return sign(known[first] - known[other], found) == (-1 if lowest else 1)

    return first if all(ahead(other) for other in known if other != first) else None


def leading(
    records: Sequence[Mapping[str, Any]], names: Sequence[str], differences: Sequence[dict], name: str, *, lowest: bool = False
) -> int | None:
    """Place of the record that leads all others by a metric, as `leader` has it.

    Args:
        records: with ``metrics`` and ``ci95``.
        names: of the records in the paired differences.
        differences: paired, as in a comparison.
        name: of the metric.
        lowest: smaller values lead.
    """
    return leader(
        [record["metrics"].get(name) for record in records],
        [record["ci95"].get(name) for record in records],
        lambda one, other: interval_of_pair(differences, names[one], names[other], name),
        lowest=lowest,
    )


def interval_of_pair(differences: Sequence[dict], first: str, second: str, name: str) -> Bounds | None:
    """Interval of ``first`` minus ``second`` in records of paired differences (``second`` minus ``first`` each), if any."""
    for pair in differences:
        if name in pair["ci95"] and {pair["first"], pair["second"]} == {first, second}:
            low, high = pair["ci95"][name]
            return (low, high) if pair["second"] == first else (-high, -low)
    return None
