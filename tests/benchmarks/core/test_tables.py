"""Tables of comparisons on a terminal of 80 columns."""

import io

import pytest
from rich.console import Console

from e2.benchmarks.core.comparison import Comparison
from e2.benchmarks.core.tables import metrics_table

NAMES = ("image_to_text_R@10", "SumR")


def shown(*models: str) -> str:
    results = [
        {"model": {"path": path}, "metrics": dict.fromkeys(NAMES, 12.5), "ci95": dict.fromkeys(NAMES, [10.0, 15.0])}
        for path in models
    ]
    differences = [
        {"first": first, "second": second, "metrics": dict.fromkeys(NAMES, 1.5), "ci95": dict.fromkeys(NAMES, [-1.0, 4.0])}
        for row, first in enumerate(models)
        for second in models[row + 1 :]
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(metrics_table(Comparison(results, differences), NAMES, "A title", "a caption"))
    return console.file.getvalue()


@pytest.mark.parametrize("models", [("a", "other"), ("multifield", "e2-nano", "onnx-graph")])
def test_names_and_intervals_stay_whole(models):
    text = shown(*models)
    assert all(words in text for words in ("12.5 (10.0 to", "+1.5 (-1.0 to", "A title", "a caption"))
    assert all(f"{name} ┃" in text for name in models)
    assert text.count("−") == len(models) * (len(models) - 1) // 2
