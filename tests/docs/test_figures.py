"""Every figure that README and docs quote stands in the JSON file that its block names.

A block (paragraph, list item or table row) with a decimal number needs a comment ``<!-- figures: FILE FILE -->`` above it, in
the same section, with files below ``benchmarks/results``; or ``<!-- figures: none, REASON -->`` where it quotes no result of
ours. A figure with an interval, ``8.1 (7.0 to 9.2)`` or ``8.1, 7.0 to 9.2``, must stand there as one: value and bounds of the
same metric.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.shared import ROOT

RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCE = re.compile(r"<!-- figures: (.+?) -->")
NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
INTERVAL = re.compile(rf"({NUMBER})\*{{0,2}}(?: \(|, )({NUMBER}) to ({NUMBER})")
DECIMAL = re.compile(r"(?<![\w.,])([+-]?\d[\d,]*\.\d+)(?![\w.]|,\d)(?: (ms|s|MB|GB)\b)?")
UNITS = {"": (1,), "ms": (1, 1e3), "s": (1, 1e-3), "MB": (1, 1e-6), "GB": (1, 1e-3, 1e-9)}  # from s, ms, bytes, MB
CODE = re.compile(r"`[^`]*`|\[[^]]*\]\([^)]*\)")

Triple = tuple[float, float, float]


def blocks(text: str) -> Iterator[tuple[int, str, str | None]]:
    """(line, text, source or None) of each paragraph, item or row outside code; a heading ends what a comment says."""
    source, fenced = None, False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif line.startswith("#") and not fenced:
            source = None
        elif found := SOURCE.search(line):
            source = found[1]
        elif not fenced:
            yield number, CODE.sub(" ", line), source


def numbers_in(content: Any) -> Iterator[float]:
    """Every number of a JSON file."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from numbers_in(value)
    elif isinstance(content, (int, float)) and not isinstance(content, bool):
        yield float(content)


def intervals_in(content: Any) -> Iterator[Triple]:
    """Every metric with its bounds: ``{"metrics": {...}, "ci95": {...}}``, nested alike, and the ``ratio`` of `e2 speed`."""
    if isinstance(content, dict):
        for value in content.values():
            for found, low, high in bounded(value, content.get("ci95")):
                yield found, low, high
                if "first" in content and "second" in content:  # a difference, which may be told the other way round
                    yield -found, -high, -low
        if "ratio_min" in content:
            yield content["ratio"], content["ratio_min"], content["ratio_max"]
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from intervals_in(value)


def bounded(value: Any, bounds: Any) -> Iterator[Triple]:
    """The numbers of one tree with the pairs that stand in the same places of another."""
    if isinstance(value, dict) and isinstance(bounds, dict):
        for name in value.keys() & bounds.keys():
            yield from bounded(value[name], bounds[name])
    elif isinstance(value, (int, float)) and isinstance(bounds, list) and len(bounds) == 2:
        yield (value, *bounds)


def says(quoted: str, value: float) -> bool:
    """Whether a figure is a value to the digits that are quoted; a sign that is not quoted may be missing."""
    text = quoted.replace(",", "")
    digits = len(text.partition(".")[2])
    number = float(text)
    if text[0] not in "+-":
        value = abs(value)
        number = abs(number)
    return math.isclose(number, value, abs_tol=0.5000001 * 10**-digits)


def mistakes(text: str, read) -> list[str]:
    """What is wrong with the figures of a page."""
    found = []
    for line, block, source in blocks(text):
        figures = [figure for figure, _ in DECIMAL.findall(block)]
        if not figures or (source or "").startswith("none, "):
            continue
        if source is None:
            found.append(f"line {line}: {', '.join(figures[:4])} name no source")
            continue
        values, triples = read(source)
        for quoted in INTERVAL.findall(block):
            if "." in "".join(quoted) and not any(all(map(says, quoted, triple)) for triple in triples):
                found.append(f"line {line}: {quoted[0]} ({quoted[1]} to {quoted[2]}) is not a metric of {source}")
        rest = INTERVAL.sub(" ", block)
        for quoted, unit in DECIMAL.findall(rest):
            if not any(says(quoted, value * factor) for value in values for factor in UNITS[unit]):
                found.append(f"line {line}: {quoted} is not in {source}")
    return found


def read_results(source: str) -> tuple[list[float], list[Triple]]:
    """Numbers and intervals of the files that a comment names."""
    contents = [json.loads((RESULTS / name).read_text(encoding="utf-8")) for name in source.split()]
    return [n for content in contents for n in numbers_in(content)], [t for content in contents for t in intervals_in(content)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_figures_are_those_of_the_results(page: Path):
    found = mistakes(page.read_text(encoding="utf-8"), read_results)
    assert not found, "\n".join(found)


def test_a_wrong_figure_is_noticed():
    def read(source: str):
        content = {"metrics": {"SumR": 12.345, "n": 4.26}, "ci95": {"SumR": [11.0, 13.04]}, "change": -1.04}
        return list(numbers_in(content)), list(intervals_in(content))

    good = "<!-- figures: a.json -->\nSumR 12.3 (11.0 to 13.0), of 4.26, 1.0 less (-1.0), see `0.5`."
    assert not mistakes(good, read)
    for wrong, said in (("12.3 (11", "12.4 (11"), ("4.26", "4.27"), ("(11.0", "(10.9"), ("-1.0", "+1.0"), ("13.0)", "12.3)")):
        assert len(mistakes(good.replace(wrong, said), read)) == 1, said
    assert mistakes("## New\nSumR 12.3", read) == ["line 2: 12.3 name no source"]
    assert not mistakes("<!-- figures: none, the paper's -->\nSumR 99.9", read)


def test_a_difference_may_be_told_either_way():
    def read(source: str):
        content = {"first": "a", "second": "b", "metrics": {"SumR": -2.0}, "ci95": {"SumR": [-3.5, 1.0]}}
        return list(numbers_in(content)), list(intervals_in(content))

    page = "<!-- figures: a.json -->\nahead by {}."
    for figure, right in (("-2.0 (-3.5 to +1.0)", True), ("+2.0 (-1.0 to +3.5)", True), ("+2.0 (-3.5 to +1.0)", False)):
        assert bool(mistakes(page.format(figure), read)) is not right
