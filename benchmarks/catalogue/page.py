"""Shows the findings of `e2 data check` on one page."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.catalogue.check import Findings
from e2.benchmarks.catalogue.labels import TagSuspect
from e2.benchmarks.reports.page import shortened, write_page
from e2.benchmarks.reports.pictures import data_uri
from e2.counting import counted
from e2.data.check import LEFT_OUT
from e2.data.images import load_image
from e2.errors import printable

SIDE = 112  # pixels of a photo on the page
GROUPS, MEMBERS, PAIRS, SUSPECTS, OUTLIERS = 24, 6, 24, 24, 36  # shown at most; the JSON has all
COLOURS = 10  # values that have a colour of their own on the map
TEXT, VALUE = 160, 40  # characters shown of a text, of a value


class _Shown:
    """Photos and names of products as they are put on the page; a photo is encoded once."""

    def __init__(self, found: Findings):
        self.found, self._pictures = found, dict[int, str]()

    def __call__(self, row: int, note: str = "") -> dict[str, str]:
        product = self.found.products[row]
        if row not in self._pictures:
            self._pictures[row] = data_uri(load_image(self.found.catalogue[row].images[0], enough=SIDE), SIDE)
        return {
            "photo": self._pictures[row],
            "name": printable(product.product_id),
            "split": self.found.catalogue.split_of(row),
            "text": shortened(product.captions[0], TEXT),
            "note": note,
        }


def write_check_page(path: Path, found: Findings, model: str | None) -> None:
    """Writes the page, whole or not at all."""
    shown = _Shown(found)
    splits = ", ".join(f"{part.split} {len(part):,}" for part in found.catalogue.catalogues)
    write_page(
        path,
        "catalogue.html",
        title="Catalogue check",
        kicker="e2 data check",
        lead=f"{printable(found.catalogue.name)}: {counted(len(found.products), 'product')} ({splits}), "
        f"{counted(len(found.photos.products), 'photo')}",
        sections=[(name.lower(), name) for name in ("Summary", "Twice", "Texts", "Tags", "Doubts", "Map", "Outliers")],
        summary=summary(found),
        twice=[
            (title, len(groups), [[shown(row) for row in group[:MEMBERS]] for group in groups[:GROUPS]])
            for title, groups in (
                ("Photos in several splits, the same or nearly", found.across_splits),
                ("Same photo", found.same_photo),
                ("Nearly the same photo", found.near_photo),
                ("Same text", found.same_text),
            )
        ],
        alike=[[shown(a, f"cosine {score:.3f}"), shown(b)] for a, b, score in found.alike[:PAIRS]],
        alike_count=len(found.alike),
        alike_from=found.alike_from,
        texts=[
            (title, len(found.texts[key]), [shown(row) for row in found.texts[key][:MEMBERS]])
            for key, title in (("spans_lines", "span lines"), ("cut", f"are cut after {found.cut_after} tokens"))
        ],
        bad_rows=found.bad_rows,
        nulled={what: _told(values) for what, values in found.nulled.items()},
        tags=[_tag(entity, facts, len(found.products)) for entity, facts in found.tags.items()],
        doubts=[
            (_value(entity), len(doubted), [shown(one.product, _doubt(one)) for one in doubted[:SUSPECTS]])
            for entity, doubted in found.suspects.items()
        ],
        outliers=[shown(row, f"cosine {score:.2f}") for row, score in found.outliers[:OUTLIERS]],
        outlier_count=len(found.outliers),
        model=model and printable(model),
        data=_map(found),
    )


def summary(found: Findings) -> list[tuple[str, str, str]]:
    """Name, count and section of each kind of finding."""
    looked = found.alike_from is not None
    counts: list[tuple[str, int | None, str]] = [
        ("photos in several splits", len(found.across_splits), "twice"),
        ("photos of several products", len(found.same_photo), "twice"),
        ("photos nearly the same", len(found.near_photo), "twice"),
        ("pairs alike to the encoder", len(found.alike) if looked else None, "twice"),
        ("texts of several products", len(found.same_text), "twice"),
        ("texts over several lines", len(found.texts["spans_lines"]), "texts"),
        ("texts that are cut", len(found.texts["cut"]), "texts"),
        ("rows left out", sum(found.bad_rows.values()), "texts"),
        ("photos left out", sum(found.nulled.get(LEFT_OUT, {}).values()), "texts"),
        (
            "words read as missing",
            sum(sum(values.values()) for what, values in found.nulled.items() if what != LEFT_OUT),
            "texts",
        ),
        ("values in several spellings", sum(len(facts["spellings"]) for facts in found.tags.values()), "tags"),
        ("constant tags", sum(facts["constant"] for facts in found.tags.values()), "tags"),
        ("tags with no value twice", sum(facts["all_distinct"] for facts in found.tags.values()), "tags"),
        ("tags in doubt", sum(map(len, found.suspects.values())) if looked else None, "doubts"),
        ("outliers", len(found.outliers) if looked else None, "outliers"),
    ]
    return [(name, "–" if count is None else f"{count:,}", section) for name, count, section in counts]


def _doubt(one: TagSuspect) -> str:
    return f"{_value(one.given)} → {_value(one.suggested)}?"


def _tag(entity: str, facts: dict[str, Any], products: int) -> dict[str, Any]:
    remarks = [text for key, text in (("constant", "one value only"), ("all_distinct", "no value twice")) if facts[key]]
    remarks += [_told(ways) for ways in facts["spellings"][:GROUPS]]
    return {
        "entity": _value(entity),
        "coverage": f"{100 * facts['products'] / products:.0f} %",
        "values": f"{facts['values']:,}",
        "remarks": remarks,
        "more": max(0, len(facts["spellings"]) - GROUPS),
    }


def _map(found: Findings) -> dict[str, Any]:
    """Points of the map with photo, name and text, and the values of each tag, the most frequent first."""
    rows = found.mapped.tolist()
    entities = {}
    for entity in found.catalogue.tags:
        values = [found.products[row].values.get(entity, ()) for row in rows]
        most = [value for value, _ in Counter(value for own in values for value in own).most_common(COLOURS)]
        number = {value: place for place, value in enumerate(most)}
        entities[_value(entity)] = {
            "names": [_value(value) for value in most],
            "values": [_value(", ".join(own)) for own in values],
            "colours": [min((number[value] for value in own if value in number), default=-1) for own in values],
        }
    return {
        "places": np.round(found.places, 4).tolist() if len(found.places) else [],
        "names": [printable(found.products[row].product_id) for row in rows],
        "texts": [shortened(found.products[row].captions[0], TEXT) for row in rows],
        "photos": [found.photos.pictures[row] for row in rows],
        "entities": entities,
    }


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{_value(value)} {count:,}" for value, count in list(counts.items())[:GROUPS])


def _value(value: str) -> str:
    return shortened(value, VALUE)
