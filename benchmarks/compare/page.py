"""Page of `e2 compare`: the questions of a shop, each model's answer with its interval, tables and examples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.benchmarks.core.comparison import Comparison, short_names
from e2.benchmarks.core.support import leading
from e2.benchmarks.reports.page import shortened, write_page
from e2.benchmarks.reports.pictures import data_uri
from e2.benchmarks.reports.tables import Cell, Table, difference_cell, value_cell
from e2.benchmarks.retrieval.similar import NAMES
from e2.data.images import load_image
from e2.data.product import Catalogue
from e2.errors import printable

PAGE = "index.html"
SIDE = 128  # pixels of a photo on the page
LONG = 240  # characters of a text
HEADLINES = {  # metric -> question, and what is counted
    "text_to_image_R@10": ("Does a description find its photo?", "among the first ten"),
    "image_to_text_R@10": ("Does a photo find its description?", "among the first ten"),
    "one_tag_P@10": ("Does a bare word find products?", "right ones of the first ten, for one tag"),
    "two_tags_P@10": ("Do two bare words?", "right ones of the first ten, for two tags"),
    "zero_shot": ("Are tags read off photos?", "nearest value right, without training; mean over tags"),
    "probe": ("Could they be read, with training?", "linear probe right, on products it was not fitted on; mean over tags"),
    "same_product_R@1": ("Does a photo find the product's other one?", "as the first"),
    "same_tags_R@10": ("Does a photo find one with the same tags?", "among the first ten"),
    "same_garment_P@10": ("Does a photo find its kind of garment?", "right ones of the first ten"),
}
SPEED = {  # metric -> words and digits
    "photos_per_second": ("photos per second, decoded and encoded", 1),
    "texts_per_second": ("texts per second", 1),
    "photo_ms": ("one photo, ms", 0),
    "text_ms": ("one text, ms", 0),
    "megabytes": ("weights, MB", 0),
    "dimensions": ("length of a vector", 0),
}
KINDS = {"one_tag": "one tag", "two_tags": "two tags", "description": "a description"}


def write_compare_page(path: Path, comparison: Comparison, catalogue: Catalogue, left_out: dict[str, str]) -> None:
    """Writes the page, whole or not at all.

    Args:
        path: of the file.
        comparison: records of `measure`, and differences.
        catalogue: the measured products, whose photos the examples show.
        left_out: models that could not be measured -> reason.
    """
    first, names = comparison.results[0], [printable(name) for name in short_names(comparison)]
    examples = _examples(comparison, names, catalogue)
    sections = [("answers", "Answers"), ("numbers", "Numbers"), ("speed", "Speed and size")]
    sections += [("examples", "Examples")] if examples else []
    write_page(
        path,
        "compare.html",
        title="Which model suits this catalogue?",
        kicker="e2 compare",
        lead="{}, {}: {:,} products, text {}".format(
            printable(first["dataset"]), printable(first["split"]), first["n"], first["text"]
        ),
        sections=[*sections, ("sources", "Sources")],
        names=names,
        answers=[found for metric in HEADLINES if (found := _answer(comparison, names, metric))],
        tables=[_metrics(comparison, names, title, wanted) for title, wanted in _groups(comparison)],
        differences=_differences(comparison, names),
        speed=_speed(comparison, names),
        examples=examples,
        sources=[_source(record, name) for record, name in zip(comparison.results, names, strict=True)],
        left_out={printable(name): printable(reason) for name, reason in left_out.items()},
        facts=first,
    )


def _best(comparison: Comparison, metric: str) -> int | None:
    """Place of the model that leads by the intervals, if one does."""
    paths = [record["model"]["path"] for record in comparison.results]
    return leading(comparison.results, paths, comparison.differences, metric)


def _answer(comparison: Comparison, names: Sequence[str], metric: str) -> dict[str, Any] | None:
    """Bars of one question, None if no model has the metric."""
    if not any(metric in record["metrics"] for record in comparison.results):
        return None
    best = _best(comparison, metric)
    question, counted = HEADLINES[metric]
    bars = []
    for place, record in enumerate(comparison.results):
        if metric in record["metrics"]:
            low, high = record["ci95"][metric]
            value = record["metrics"][metric]
            bars.append({"place": place, "name": names[place], "value": value, "low": low, "high": high})
    verdict = f"{names[best]} leads" if best is not None else "no clear leader" if len(bars) > 1 else ""
    return {"question": question, "counted": counted, "verdict": verdict, "best": best, "bars": bars}


def _groups(comparison: Comparison) -> list[tuple[str, dict[str, str]]]:
    """Titles of the tables, each with its metrics and their words."""
    entities = list(comparison.results[0]["entities"])
    recalls = {
        f"{way}_R@{k}": f"{way.replace('_', ' ')} R@{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)
    }
    tags = {f"{entity}_{kind}": f"{entity}, {words}" for entity in entities for kind, words in _READ}
    tasks = [("same_product", "same product"), ("same_tags", "same tags"), ("same_garment", "same kind of garment")]
    photos = {f"{task}_{name}": f"{words} {name}" for task, words in tasks for name in NAMES}
    kinds = [("one_tag", "one tag"), ("two_tags", "two tags")]
    asked = {f"{kind}_{name}": f"{words} {name}" for kind, words in kinds for name in ("P@1", "P@10", "MRR@10", "mAP@10")}
    asked |= {f"one_tag_{entity}_P@10": f"{entity} P@10" for entity in entities}
    return [
        ("Descriptions and photos", {**recalls, "SumR": "SumR, the sum of all six"}),
        ("Bare tags as queries", asked),
        ("Tags read off photos", {"zero_shot": "mean, zero-shot", "probe": "mean, probe", **tags}),
        ("A photo as the query", photos),
    ]


_READ = (("zero_shot", "zero-shot"), ("probe", "probe"))


def _metrics(comparison: Comparison, names: Sequence[str], title: str, wanted: dict[str, str]) -> Table:
    rows = {}
    for metric, words in wanted.items():
        if any(metric in record["metrics"] for record in comparison.results):
            best = _best(comparison, metric)
            cells = [value_cell(record, metric, place == best) for place, record in enumerate(comparison.results)]
            rows[printable(words)] = cells
    return Table(title, list(names), rows)


def _differences(comparison: Comparison, names: Sequence[str]) -> Table | None:
    """Tabulates every other model minus the first."""
    first = comparison.results[0]["model"]["path"]
    pairs = [pair for pair in comparison.differences if pair["first"] == first]
    if not pairs:
        return None
    rows = {
        HEADLINES[metric][0]: [difference_cell(pair, metric) for pair in pairs]
        for metric in HEADLINES
        if any(metric in pair["metrics"] for pair in pairs)
    }
    note = "Points, paired on the same queries. Coloured: the interval does not hold zero."
    return Table(f"Difference from {names[0]}", list(names[1:]), rows, note)


def _speed(comparison: Comparison, names: Sequence[str]) -> Table:
    rows = {
        words: [Cell(f"{record['metrics'][metric]:,.{digits}f}") for record in comparison.results]
        for metric, (words, digits) in SPEED.items()
    }
    note = "Medians of single photos and texts; on the machines below, which other programs may have disturbed."
    return Table("Photos, texts, weights", list(names), rows, note, corner="measure")


def _examples(comparison: Comparison, names: Sequence[str], catalogue: Catalogue) -> list[dict[str, Any]]:
    """Queries, the same for all models, with the first photos that each finds."""
    photos: dict[int, str] = {}

    def shown(hit: dict[str, Any]) -> dict[str, Any]:
        row = hit["row"]
        if row not in photos:
            photos[row] = data_uri(load_image(catalogue[row].images[0], enough=SIDE), SIDE)
        return {"photo": photos[row], "id": printable(hit["id"]), "right": hit["right"]}

    together = zip(*(record["examples"] for record in comparison.results), strict=True)
    return [
        {
            "kind": KINDS[same[0]["kind"]],
            "text": shortened(same[0]["text"], LONG),
            "found": [
                {"name": name, "hits": [shown(hit) for hit in one["hits"]], "right": sum(hit["right"] for hit in one["hits"])}
                for name, one in zip(names, same, strict=True)
            ],
        }
        for same in together
    ]


def _source(record: dict[str, Any], name: str) -> dict[str, str]:
    """Origin of one model's numbers."""
    model, where = record["model"], record["machine"]
    return {
        "name": name,
        "path": printable(model["path"]),
        "backbone": printable(str(model["backbone"])),
        "method": printable(str(model["method"])),
        "weights": str(model["weights_sha256"])[:12],
        "machine": f"{where['gpu'] or where['processor']}, {where['threads']} threads, {record['precision']}",
        "truncated": f"{record['truncated_texts']:,}",
    }
