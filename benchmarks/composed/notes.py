"""Notes on results: counts of queries, photos and products left out, and of failed rewritings."""

from collections.abc import Sequence
from typing import Any

from e2.benchmarks.composed.data.usable import coverage_line
from e2.counting import counted
from e2.errors import printable


def notes(results: Sequence[dict[str, Any]]) -> list[str]:
    """Lines below the tables of some records, on the data first."""
    told = _data_notes(results[0]["data"])
    for record in results:
        if line := rewriting_line(record["rewriting"]):
            told.append(f"{record['method']} on {printable(record['model']['path'])}: {line}")
    return told


def rewriting_line(counts: dict[str, Any] | None) -> str | None:
    """Line on rewritings, ``3 of 40 rewritings failed (2 refused, 1 no answer within 60 s)``; None for nothing to report."""
    if not counts:
        return None
    total, told = sum(counts[status] for status in ("rewritten", "kept", "failed")), []
    if counts["failed"]:
        reasons = ", ".join(f"{count:,} {printable(reason)}" for reason, count in counts["reasons"].items())
        told.append(f"{counts['failed']:,} of {total:,} rewritings failed ({reasons}): caption and wish are used instead")
    if counts["kept"]:
        told.append(f"{counts['kept']:,} of {counted(total, 'caption')} kept as they were")
    if counts["not_understood"]:
        told.append(f"{counts['not_understood']:,} of {counted(total, 'wish')} not understood in full")
    return "; ".join(told) or None


def _data_notes(data: dict[str, Any]) -> list[str]:
    """Coverage of a published data set; for a catalogue, its products with the kept tags, and those that are searched."""
    if line := coverage_line(data):
        return [line]
    if "queries" not in data:
        return []
    drawn, total = data["queries"], data["products"] + data["left_out_for_missing_tags"]
    keep = printable(", ".join(drawn["keep"]))
    notes = [
        f"{drawn['queries']:,} of {drawn['size']:,} queries asked for; right answers keep {keep}, which "
        f"{data['products']:,} of {total:,} products have"
    ]
    if any(count < data["products"] for count in data["galleries"].values()):
        searched = ", ".join(f"{printable(name)} {count:,}" for name, count in data["galleries"].items())
        notes.append(f"products searched, those with what is asked for: {searched}")
    if few := drawn.get("too_few"):
        told = ", ".join(f"{printable(name)} {count:,}" for name, count in few.items())
        notes.append(f"left out as too few queries: {told}")
    return notes
