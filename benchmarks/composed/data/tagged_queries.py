"""Composed queries on any tagged catalogue, as a list that can be saved and as a `Task`."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.composed.data.files import read_json
from e2.benchmarks.composed.data.hard_negatives import HardNegatives
from e2.benchmarks.composed.data.tag_pairs import TagTable
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.task import Task
from e2.errors import InputError
from e2.files import write_json

TARGETS = ("image", "text")
RECALL_KS, MAP_KS = (1, 10, 50), (10, 50)


@dataclass(frozen=True)
class TaggedQuery:
    """A photo of one product and a wish, in several wordings."""

    reference: str  # id of the product whose photo is shown
    wanted: dict[str, str]  # all tags that a right answer has; those that the reference lacks are free
    changed: tuple[str, ...]  # the entities in which the reference differs
    dropped: str | None  # the entity that only the photo shows; None if the wish names only the changes
    wishes: tuple[str, ...]  # one for each wording
    answers: tuple[str, ...]  # ids of all right products

    @property
    def about(self) -> tuple[str, ...]:
        """Entities that it is about: without one of them, whether a product is a right answer is unknown."""
        return (self.dropped,) if self.dropped else self.changed

    @classmethod
    def read(cls, row: dict[str, Any]) -> "TaggedQuery":
        """Reads a query of a saved list."""
        changed, wishes, answers = (tuple(row[name]) for name in ("changed", "wishes", "answers"))
        return cls(str(row["reference"]), dict(row["wanted"]), changed, row["dropped"], wishes, answers)


@dataclass(frozen=True)
class TaggedQueries:
    """A list of queries and its settings: ``benchmark``, ``dataset``, ``split``, ``tags``, ``keep`` and others."""

    settings: dict[str, Any]
    queries: tuple[TaggedQuery, ...]

    def save(self, path: str | Path) -> None:
        """Writes the list as JSON."""
        write_json(Path(path), {"settings": self.settings, "queries": [asdict(query) for query in self.queries]})

    @classmethod
    def load(cls, path: str | Path) -> "TaggedQueries":
        """Reads what :meth:`save` wrote.

        Raises:
            InputError: no such file, or another kind of file.
        """
        content = read_json(Path(path), dict)
        try:
            queries = [TaggedQuery.read(row) for row in content["queries"]]
            settings = dict(content["settings"])
            wordings = {len(query.wishes) for query in queries}
        except (KeyError, TypeError, ValueError) as error:
            what = f"{path} is not a list of composed queries ({error!r})"
            raise InputError(f"{what}; give a queries.json that e2 evaluate wrote") from error
        if len(wordings) != 1 or "benchmark" not in settings:
            raise InputError(f"{path} is empty or truncated; give a queries.json that e2 evaluate wrote")
        if not settings.get("keep"):
            raise InputError(f"{path} does not say which tags right answers keep: an older version drew it; draw a new list")
        return cls(settings, tuple(queries))

    def statistics(self) -> dict[str, Any]:
        """Statistics of the list."""
        answers = np.array([len(query.answers) for query in self.queries])
        brands = Counter(query.wanted["brand"] for query in self.queries if "brand" in query.wanted)
        return {
            "queries": len(self.queries),
            "wordings": len(self.queries[0].wishes),
            "references": len({query.reference for query in self.queries}),
            "by_change": dict(Counter("+".join(query.changed) for query in self.queries)),
            "by_dropped": dict(Counter(query.dropped for query in self.queries if query.dropped)),
            "right_answers": {"mean": answers.mean(), "median": float(np.median(answers)), "largest": int(answers.max())},
            "largest_brand_percent": 100 * max(brands.values()) / len(self.queries) if brands else None,
        }


def tagged_task(listed: TaggedQueries, products: TaggedProducts, *, target: str = "image") -> Task:
    """Makes a list a task on the products it was drawn from, to find their photos or, by ``target``, descriptions (``text``).

    The reference may not be returned: the user already has it.

    Raises:
        InputError: unknown target, or the list belongs to other products.
    """
    if target not in TARGETS:
        raise InputError(f"unknown target {target!r}; choose {' or '.join(TARGETS)}")
    table, queries = products.table, listed.queries
    references = np.array([products.place(query.reference) for query in queries])
    wanted = np.array([_codes(table, query) for query in queries])
    answers = [table.answers(row) for row in wanted]
    for query, places in zip(queries, answers, strict=True):
        if set(query.answers) != {products.ids[place] for place in places}:
            raise InputError(
                f"the right answers of query {query.reference!r} differ in {products.catalogue.name} from the list's; the "
                "catalogue has changed, draw a new list"
            )
    settings = listed.settings
    asked = {"+".join(query.about): query.about for query in queries}
    galleries = {category: table.having(asked[category]) for category in sorted(asked)}
    return Task(
        benchmark=settings["benchmark"],
        protocol=f"{settings['benchmark']}, find {target}s",
        name=products.catalogue.name,
        split=products.catalogue.split,
        images=products.images(),
        image_names=products.ids,
        references=references,
        wordings=list(zip(*(query.wishes for query in queries), strict=True)),
        answers=answers,
        categories=np.array(["+".join(query.about) for query in queries]),
        galleries=galleries,
        exclude_reference=True,
        clusters=references,
        recall_ks=RECALL_KS,
        map_ks=MAP_KS,
        texts=products.texts if target == "text" else None,
        text_names=products.ids if target == "text" else (),
        vectors=None if target == "text" or products.one_photo else products.vectors,
        judge=HardNegatives(table.codes, table.codes[references], wanted, wanted != table.codes[references]),
        facts={
            "target": target,
            "gallery_text": products.text if target == "text" else None,
            "product_vector": str(products.product_vector) if target == "image" else None,
            "products": len(products),
            "left_out_for_missing_tags": products.incomplete,
            "galleries": {category: len(rows) for category, rows in galleries.items()},
            "queries": {**settings, **listed.statistics()},
        },
        query_names=[f"{query.reference} {query.wishes[0]}" for query in queries],
    )


def _codes(table: TagTable, query: TaggedQuery) -> np.ndarray:
    """Codes (E,) of the wanted tags; -1: any."""
    codes = []
    for name, values in zip(table.entities, table.values, strict=True):
        value = query.wanted.get(name)
        if value is None:
            codes.append(-1)
            continue
        if value not in values:
            raise InputError(
                f"the list of queries wants {name} {value!r}, which no product here has; give the same --data and --tags"
            )
        codes.append(values.index(value))
    return np.array(codes)
