"""Measures what searches gain by ranking the reference's garment and the wished tags first, on attribute swaps.

The queries are those of `e2 evaluate composed --benchmark attribute-swap`, the searches those of `e2 index search`:

    python -m e2.benchmarks.composed.evaluate_keeping --encoder runs/mine --data catalogue \\
        --tags brand,sub_category,colour --keep sub_category --out keeping.json
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from e2.adapters.composed.base import References
from e2.adapters.composed.methods import start_search
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.search.filters import Filter, equals
from e2.adapters.search.index import ProductSearch
from e2.adapters.search.keeping import Reference, agreed_tags, kept_tags, near_tags, nearest_tags
from e2.adapters.search.memory import MemoryStore
from e2.adapters.search.queries import IndexQuery, careful, search, vocabulary_of
from e2.benchmarks.composed.data.tagged_queries import TaggedQuery
from e2.benchmarks.composed.tasks import draw_task, open_tagged
from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means
from e2.benchmarks.core.encoded import EncodedOnce
from e2.data.product import Catalogue
from e2.files import write_json

TOP = 10
WAYS = ("vector", "garment", "read", "known")


class Swaps:
    """A tagged catalogue to search, products that lack a tag included, and queries that change one tag of a reference.

    Args:
        encoder: any.
        catalogue: one split, with its tags.
        keep: tags that only some wishes change.
        size, seed: of the drawn queries, each in one wording.
    """

    def __init__(self, encoder: Encoder, catalogue: Catalogue, keep: tuple[str, ...], *, size: int = 1000, seed: int = 0):
        self.encoder, self.once = encoder, EncodedOnce(encoder)
        self.task, listed = draw_task("attribute-swap", catalogue, keep=keep, size=size, wordings=1, seed=seed)
        self.queries = listed.queries
        store = MemoryStore(encoder, catalogue)
        self.products = ProductSearch(store)
        self.vocabulary = vocabulary_of(self.products)
        self.editor = RuleEditor(self.vocabulary)
        vectors, names = store.vectors
        rows = [names.index(query.reference) for query in self.queries]
        self.features = vectors[rows]
        self.known = [dict(catalogue[row].tags) for row in rows]
        nearest = [nearest_tags(self.products, vector) for vector in self.features]
        self.read, self.near = list(map(agreed_tags, nearest)), list(map(near_tags, nearest))

    def found(self, method: str) -> dict[str, np.ndarray]:
        """Returns whether one of the first hits is right, (Q,) for each way to search.

        ``vector``: by the composed vector alone. ``garment``: likewise, among products of the reference's garment, unless the
        wish changes it. ``known``: as searches rank, garment and wished tags first, by the reference's own tags. ``read``: as
        they rank after a photo, by tags on which the nearest products agree, or several share; one of those is the reference.
        """
        wishes = [query.wishes[0] for query in self.queries]
        composer = start_search(self.encoder, method, None, None, vocabulary=self.vocabulary)
        right: dict[str, list[bool]] = {way: [] for way in WAYS}
        for knowledge, tags, near in (("read", self.read, self.near), ("known", self.known, [{}] * len(wishes))):
            composed = composer.composed(References(self.encoder, None, self.features, tags=tags), wishes).separate()
            for query, found, own, others in zip(self.queries, composed, tags, near, strict=True):
                reference, left_out = Reference(query.wishes[0], self.editor, own, others), (query.reference,)
                asked = careful(found, reference, self.once.encode_texts, self.vocabulary)
                right[knowledge].append(self._answers(query, replace(asked, products=left_out)))
                if knowledge == "known":
                    plain = IndexQuery(found.vectors, products=left_out)
                    right["vector"].append(self._answers(query, plain))
                    right["garment"].append(self._answers(query, plain, equals(kept_tags(reference))))
        return {way: np.array(values, dtype=float) for way, values in right.items()}

    def _answers(self, query: TaggedQuery, asked: IndexQuery, where: Filter | None = None) -> bool:
        return any(hit.product_id in query.answers for hit in search(self.products, asked, TOP, where).hits)


def measured(swaps: Swaps, method: str, *, seed: int = 0) -> dict[str, Any]:
    """R@10 in percent of each way, with 95 % intervals by bootstrap over references, and differences from the vector alone."""
    found = np.stack(list(swaps.found(method).values()), axis=1)
    samples = 100 * resampled_means([Measure(found, swaps.task.clusters)], seed=seed)
    means = 100 * found.mean(axis=0)
    return {
        way: {
            "R@10": round(means[column], 2),
            "ci95": [round(end, 2) for end in interval(samples[:, column])],
            "gain": round(means[column] - means[0], 2),
            "gain_ci95": [round(end, 2) for end in interval(samples[:, column] - samples[:, 0])],
        }
        for column, way in enumerate(WAYS)
    }


def main(
    encoder: Annotated[str, typer.Option(help="an encoder")],
    data: Annotated[str, typer.Option(help="a catalogue with tags")],
    out: Annotated[Path, typer.Option(help="JSON file")],
    method: Annotated[list[str], typer.Option(help="of composed retrieval, without fitting; repeatable")] = ["slots", "slerp"],  # noqa: B006
    split: str = "test",
    tags: str = "",
    keep: Annotated[str, typer.Option(help="tags that only some wishes change; else the kind of garment")] = "",
    size: int = 1000,
    seed: int = 0,
) -> None:
    """Measure every way and method, and write R@10."""
    catalogue, kept = open_tagged(data, split, tags=tags or None, keep=keep or None)
    swaps = Swaps(load_encoder(encoder, device="cpu", workers=0), catalogue, kept, size=size, seed=seed)
    rows = {name: measured(swaps, name, seed=seed) for name in method}
    facts = {"dataset": catalogue.name, "split": split, "products": len(catalogue), "queries": len(swaps.queries)}
    write_json(out, {**facts, "keep": kept, "seed": seed, "model": swaps.encoder.info, "methods": rows})
    print(f"{'R@10':10}" + "".join(f"{way:>10}" for way in WAYS))
    for name, row in rows.items():
        print(f"{name:10}" + "".join(f"{row[way]['R@10']:10.1f}" for way in WAYS))


if __name__ == "__main__":
    typer.run(main)
