"""Terminal tables of `e2 evaluate composed`: all pairs of encoder and method, and paired differences."""

from rich.table import Column
from rich.text import Text

from e2.benchmarks.composed.evaluate import ComposedComparison
from e2.benchmarks.core.names import ends
from e2.benchmarks.core.tables import cell, difference_cell
from e2.ranks import TIE_POLICY
from e2.wide_table import WideTable


def results_table(comparison: ComposedComparison) -> WideTable:
    """Tabulates encoders and methods by metric, percent with 95 % intervals. Users' names are ``Text``, never markup."""
    first, short = comparison.results[0], _short_names(comparison)
    title = "{protocol}: {dataset}, {split}, {n:,} queries, gallery of {gallery:,}".format_map(first)
    names = _headline(first["metrics"])
    columns = [Column(name, justify="right") for name in names]
    caption = f"percent, 95 % intervals over references; {TIE_POLICY}"
    table = WideTable("encoder", "method", *columns, keys=2, title=Text(title), caption=caption)
    for record in comparison.results:
        cells = [cell(record, name) for name in names]
        table.add_row(Text(short[record["model"]["path"]]), record["method"], *cells)
    return table


def differences_table(comparison: ComposedComparison) -> WideTable | None:
    """Tabulates paired differences, * marking intervals that exclude zero; None without any.

    Shows R@10 and one mAP, without the differences from the words alone; the files have everything.
    """
    rows = [row for row in comparison.differences if row["first"] != "text"]
    if not rows:
        return None
    metrics, short = comparison.results[0]["metrics"], _short_names(comparison)
    names = [name for name in metrics if name == "R@10"] + [name for name in metrics if name.startswith("mAP")][:1]
    columns = [Column(name, justify="right") for name in names]
    table = WideTable("at", "second − first", *columns, keys=2, title="Paired differences, points")
    for row in rows:
        cells = [difference_cell(row, name) for name in names]
        place, first, second = (
            short.get(name, name) for name in (row.get("encoder") or row["method"], row["first"], row["second"])
        )
        table.add_row(Text(place), Text(f"{second} − {first}"), *cells)
    return table


def details_table(comparison: ComposedComparison) -> WideTable | None:
    """Tabulates mean numbers of right and half-right results in the top 10, and mAP@10 from the worst to the best wording.

    None if the task has no tags.
    """
    if not comparison.results[0]["hard_negatives"]:
        return None
    short = _short_names(comparison)
    names = ("right", "right change, wrong garment", "right garment, unchanged", "mAP@10 by wording")
    columns = [Column(name, justify="right") for name in names]
    table = WideTable("encoder", "method", *columns, keys=2, title="In the top 10, and how much the wording matters")
    for record in comparison.results:
        counts = record["hard_negatives"]["top_10"].values()
        worded = (record["paraphrases"] or {}).get("by_wording", {}).get("mAP@10")
        span = f"{min(worded):.1f} to {max(worded):.1f}" if worded else "one wording"
        table.add_row(Text(short[record["model"]["path"]]), record["method"], *(f"{count:.2f}" for count in counts), span)
    return table


def _short_names(comparison: ComposedComparison) -> dict[str, str]:
    """Path of each encoder -> its end, if the ends differ."""
    paths = list(dict.fromkeys(record["model"]["path"] for record in comparison.results))
    return dict(zip(paths, ends(paths), strict=True))


def _headline(metrics: dict[str, float]) -> list[str]:
    """Averages over categories; single categories are in the files."""
    return [name for name in metrics if "_" not in name.removeprefix("R_subset")]
