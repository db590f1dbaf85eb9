"""Statistics of a build beside FashionGen's figures: the columns of the paper's Table 6 (whose cells were not at hand)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from e2.data.amazon.brands import brand_key
from e2.data.amazon.journal import Journal
from e2.data.tables import SPLITS
from e2.wide_table import WideTable

FASHIONGEN = {
    "pairs": 260_000,
    "products": 60_000,
    "brands": 570,
    "words_mean": None,
    "source": "E2's released code: a comment gives pairs and products, rounded; brands counted in its id files",
}


class Tally:
    """Figures of some products."""

    def __init__(self) -> None:
        self.pairs = self.words = self.named = 0
        self.brands: Counter[str] = Counter()

    def add(self, title: str, brand: str, photos: int) -> None:
        """Adds a product."""
        self.pairs += photos
        self.words += len(title.split())
        self.named += brand_key(brand) in brand_key(title)
        self.brands[brand] += 1

    def figures(self) -> dict[str, Any]:
        """JSON-able figures."""
        products = self.brands.total()
        return {
            "pairs": self.pairs,
            "products": products,
            "brands": len(self.brands),
            "words_mean": round(self.words / max(1, products), 2),
            "brand_in_title_percent": round(100 * self.named / max(1, products), 2),
        }


def statistics(journal: Journal) -> dict[str, Any]:
    """Computes the statistics of a finished build.

    Returns:
        ``metadata`` (lines, left_out by reason, products planned), ``photos`` (planned, fetched, lost by reason), ``splits``
        (split -> figures), ``total`` (the same over all splits) and ``fashiongen`` (with its source). Figures: ``pairs`` of a
        photo and a title, ``products``, ``brands``, ``words_mean`` of a title over products, ``brand_in_title_percent``, the
        share of products whose title gives the tag away.
    """
    splits, total = {split: Tally() for split in SPLITS}, Tally()
    for split, title, brand, photos_stored in journal.stored():
        splits[split].add(title, brand, photos_stored)
        total.add(title, brand, photos_stored)
    states = journal.counts()
    photos = {"planned": states.total(), "fetched": states["stored"], "lost": journal.lost_by_reason()}
    return {
        "metadata": journal.note("metadata"),
        "photos": photos,
        "splits": {split: tally.figures() for split, tally in splits.items() if tally.pairs},
        "total": total.figures(),
        "fashiongen": FASHIONGEN,
    }


def statistics_tables(found: Mapping[str, Any]) -> Group:
    """Tabulates the statistics for a terminal: lines and photos, then figures beside FashionGen's."""
    metadata, photos = found["metadata"], found["photos"]
    funnel = Table("metadata and photos", "")
    funnel.columns[1].justify = "right"
    funnel.add_row("lines", f"{metadata['lines']:,}")
    for reason, count in metadata["left_out"].items():
        funnel.add_row(f"  left out: {reason}", f"{count:,}")
    funnel.add_row("products planned", f"{metadata['products']:,}", end_section=True)
    funnel.add_row("photos planned", f"{photos['planned']:,}")
    for reason, count in photos["lost"].items():
        funnel.add_row(f"  lost: {reason}", f"{count:,}")
    funnel.add_row("photos fetched", f"{photos['fetched']:,}")
    figures = WideTable("", "pairs", "products", "brands", "words a title", "brand in title, %")
    for column in figures.columns[1:]:
        column.justify = "right"
    for split, row in found["splits"].items():
        figures.add_row(split, *_cells(row))
    figures.add_section()
    figures.add_row("AmazonFashion", *_cells(found["total"]))
    figures.add_row("FashionGen", *_cells(found["fashiongen"]))
    figures.caption = f"FashionGen: {found['fashiongen']['source']}"
    return Group(funnel, figures)


def _cells(figures: Mapping[str, Any]) -> list[str]:
    names = ("pairs", "products", "brands", "words_mean", "brand_in_title_percent")
    return ["" if figures.get(name) is None else f"{figures[name]:,}" for name in names]
