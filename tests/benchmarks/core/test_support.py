"""What intervals support, and that tables of every kind mark nothing else."""

import pytest

from e2.benchmarks.core import tables
from e2.benchmarks.core.support import interval_of_pair, leader, sign, signed
from e2.benchmarks.reports.caption_runs import CaptionRun
from e2.benchmarks.reports.caption_tables import score_table
from e2.benchmarks.reports.tables import difference_cell
from e2.benchmarks.studies.tables import variants_table

DIFFERENCES = [  # value, interval, whether it is marked, and then below zero
    (0.8, (0.1, 1.5), True, False),
    (-0.8, (-1.5, -0.1), True, True),
    (0.8, (-0.1, 1.7), False, False),
    (0.8, (0.0, 1.7), False, False),
    (0.0, (0.0, 0.0), False, False),
    (-0.0, (-0.0, 0.0), False, False),
    (0.04, (0.02, 0.06), False, False),
    (-0.04, (-0.06, -0.02), False, False),
]


@pytest.mark.parametrize(("value", "bounds", "marked", "below"), DIFFERENCES)
def test_differences_are_marked_by_their_interval_alone(value, bounds, marked, below):
    assert sign(value, bounds) == (0 if not marked else -1 if below else 1)
    pair = {"metrics": {"m": value}, "ci95": {"m": bounds}}
    cell = difference_cell(pair, "m")
    assert (cell.best, cell.below) == (marked, below) and "-0.0" not in cell.text + cell.interval
    told = tables.difference_cell(pair, "m")
    assert ("*" in told) is marked and "-0.0" not in told


def test_a_difference_without_interval_is_not_marked():
    assert (
        sign(5.0, None) == 0 and not difference_cell({"metrics": {"m": 5.0}, "ci95": {}}, "m").best and signed(-0.01) == "+0.0"
    )


def test_who_leads():
    near, apart = [(38, 42), (37, 41)], [(38, 42), (29, 31)]
    assert leader([40.0, 30.0], apart) == 0 and leader([40.0, 39.0], near) is None
    assert leader([40.0, 39.0], near, lambda one, other: (0.5, 1.5)) == 0  # paired differences see more
    assert leader([40.0, 39.0], near, lambda one, other: (-0.5, 2.5)) is None
    assert leader([40.0, 30.0], apart, lowest=True) == 1
    assert leader([40.0, None], [(38, 42), None]) is None and leader([40.0, 30.0], [None, None]) is None
    assert leader([40.0, 30.0, 30.5], [*apart, (29, 32)]) == 0  # the others need not be told apart


def test_the_interval_of_a_pair_has_its_direction():
    differences = [{"first": "a", "second": "b", "metrics": {"m": 2}, "ci95": {"m": [1, 3]}}]
    assert interval_of_pair(differences, "b", "a", "m") == (1, 3) and interval_of_pair(differences, "a", "b", "m") == (-3, -1)
    assert interval_of_pair(differences, "a", "c", "m") is None and interval_of_pair(differences, "a", "b", "n") is None


def caption_run(name: str, value: float, low: float, high: float) -> CaptionRun:
    record = {"model": {"path": name}, "metrics": {"CIDEr": value}, "ci95": {"CIDEr": [low, high]}, "missing": {}, "notes": []}
    record |= {"n": 9, "tokenizer": "t", "reference_tags": {}, "dataset": "d", "split": "s"}
    return CaptionRun(name, record, [])


def test_score_tables_mark_no_lead_inside_the_interval():
    runs = [caption_run("a", 50, 45, 55), caption_run("b", 48, 43, 53)]
    pair = {"first": "a", "second": "b", "metrics": {"CIDEr": -2}}
    for bounds, marked in (([-3, -1], True), ([-5, 1], False)):
        cells = score_table(runs, [{**pair, "ci95": {"CIDEr": bounds}}]).rows["CIDEr"]
        assert [cell.best for cell in cells] == [marked, False]
    assert not any(cell.best for cell in score_table(runs).rows["CIDEr"])


def test_study_tables_mark_no_lead_inside_the_interval():
    def table(bounds: list[float]) -> list[bool]:
        facts = {"added_parameters": 0, "parameters": 1}
        record = {"columns": ["m"], "metrics": {"a": {"m": 50.0}, "b": {"m": 48.0}}, "variants": {"a": facts, "b": facts}}
        record |= {
            "ci95": {"a": {"m": [45, 55]}, "b": {"m": [43, 53]}},
            "seed": [0],
            "bootstrap": "",
            "note": "",
            "title": "t",
        }
        record |= {"differences": [{"first": "b", "second": "a", "metrics": {"m": 2.0}, "ci95": {"m": bounds}}]}
        found = variants_table({**record, "dataset": "d", "split": "s", "n": 1, "text": "caption"})
        return [cells[0].best for cells in found.rows.values()]

    assert table([1, 3]) == [True, False] and table([-1, 5]) == [False, False]
