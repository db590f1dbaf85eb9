"""Measures how well typed words find the products of an index, by kind of query, as `e2 index search` searches.

    python -m e2.benchmarks.retrieval.evaluate_search --index runs/index --out search.json

Queries are drawn from the products' own ids, descriptions and tags, which favours full text; so an index in which half of the
products have neither is measured beside it.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from e2.adapters.encoder import Encoder
from e2.adapters.search.hybrid import hybrid_search
from e2.adapters.search.index import MOST, ProductIndex, encoder_of, open_index
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.store import Entry
from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means
from e2.data.product import values_of
from e2.errors import InputError
from e2.files import write_json

TOP = 10
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SHORTEST = 4  # letters of a word that is misspelt
HIDDEN = 0.5  # share of the products without texts in the second index
WAYS = ("vectors", "both", "both, half without texts")

Words = Callable[[np.random.Generator, Entry], tuple[str, Callable[[Entry], bool]] | None]  # what is typed, and what is right


@dataclass(frozen=True)
class Asked:
    """A query."""

    words: str
    product: str  # that it was drawn from
    right: frozenset[str]  # ids


def a_tag(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
    return _tags(rng, product, 1)


def two_tags(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
    return _tags(rng, product, 2)


def a_description(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
    return (product.caption, lambda other: other.caption == product.caption) if product.caption else None


def half_a_description(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
    words = product.caption.split()
    kept = sorted(rng.choice(len(words), size=len(words) // 2, replace=False))
    text = " ".join(words[place] for place in kept)
    return (text, lambda other: other.caption == product.caption) if text else None


def an_id(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
    return product.product_id, lambda other: other.product_id == product.product_id


def misspelt(kind: Words) -> Words:
    """Makes queries with a wrong letter in one word."""

    def typed(rng: np.random.Generator, product: Entry) -> tuple[str, Callable[[Entry], bool]] | None:
        if (made := kind(rng, product)) is None:
            return None
        words = made[0].split(" ")
        long = [place for place, word in enumerate(words) if len(word) >= SHORTEST and word.isalpha()]
        if not long:
            return None
        place = int(rng.choice(long))
        word = words[place]
        at = int(rng.integers(1, len(word)))
        letter = str(rng.choice([other for other in LETTERS if other != word[at].lower()]))
        words[place] = word[:at] + letter + word[at + 1 :]
        return " ".join(words), made[1]

    return typed


KINDS: dict[str, Words] = {
    "a tag": a_tag,
    "a tag with a letter wrong": misspelt(a_tag),
    "two tags": two_tags,
    "a description": a_description,
    "half of its words": half_a_description,
    "a description with a letter wrong": misspelt(a_description),
    "an id": an_id,
}


def queries(products: Sequence[Entry], kind: str, *, size: int, seed: int = 0) -> list[Asked]:
    """Draws queries of a kind, each from another product; fewer if not enough products can give one."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    found = []
    for row in rng.permutation(len(products)):
        made = KINDS[kind](rng, products[row])
        if made is not None:
            right = frozenset(other.product_id for other in products if made[1](other))
            found.append(Asked(made[0], products[row].product_id, right))
        if len(found) == size:
            break
    return found


def share_found(hits: Sequence[str], right: frozenset[str]) -> float:
    """Share of the right products among the first ten, of as many as can be there."""
    return len(right & set(hits[:TOP])) / min(TOP, len(right))


def measured(encoder: Encoder, indexes: Sequence[ProductIndex], asked: Sequence[Asked], *, seed: int = 0) -> dict[str, Any]:
    """R@10 in percent of each way, with 95 % intervals by bootstrap over the products that queries were drawn from."""
    whole, gaps = indexes
    vectors = encoder.encode_texts([query.words for query in asked])
    found = np.empty((len(asked), len(WAYS)))
    for row, query in enumerate(asked):
        vector = vectors[row : row + 1]
        near = whole.search(vector, TOP)[0]
        worded = [hybrid_search(index, vector, query.words, TOP).hits for index in (whole, gaps)]
        found[row] = [share_found([hit.product_id for hit in hits], query.right) for hits in (near, *worded)]
    drawn = np.unique([query.product for query in asked], return_inverse=True)[1]
    samples = 100 * resampled_means([Measure(found, drawn)], seed=seed)
    return {
        way: {"R@10": round(100 * found[:, column].mean(), 2), "ci95": [round(end, 2) for end in interval(samples[:, column])]}
        for column, way in enumerate(WAYS)
    }


def with_gaps(index: ProductIndex, products: Sequence[Entry], folder: Path, *, seed: int = 0) -> ProductIndex:
    """Copies an index without the descriptions and tags of half of its products."""
    rng = np.random.default_rng(seed)
    hidden = set(rng.permutation(len(products))[: round(HIDDEN * len(products))].tolist())
    store = LocalStore.create(folder, replace(index.manifest, complete=False))
    store.write([replace(each, caption="", tags={}) if row in hidden else each for row, each in enumerate(products)])
    store.finish()
    return ProductIndex(store)


def products_of(index: ProductIndex) -> list[Entry]:
    """All products of an index, without thumbnails.

    Raises:
        InputError: there are none, or more than a search gives.
    """
    if not 0 < len(index) <= MOST:
        raise InputError(f"this index holds {len(index):,} products; measure on one of 1 to {MOST:,}")
    everything = index.search(np.ones((1, index.manifest.dim), np.float32), len(index))[0]
    ids = sorted(hit.product_id for hit in everything)
    hits, vectors = {hit.product_id: hit for hit in everything}, index.vectors(ids)
    return [Entry(name, "", hits[name].caption, dict(hits[name].tags), b"", vectors[row]) for row, name in enumerate(ids)]


def main(
    index: Annotated[str, typer.Option(help="folder of e2 index build, or the address of a Milvus collection")],
    out: Annotated[Path, typer.Option(help="JSON file")],
    encoder: Annotated[str | None, typer.Option(help="the index's; needed only if it was moved")] = None,
    size: Annotated[int, typer.Option(min=1, help="queries of each kind")] = 250,
    seed: int = 0,
) -> None:
    """Measure every kind of query, and write R@10."""
    opened = open_index(index)
    model = encoder_of(index, encoder, device="cpu", workers=0)
    products = products_of(opened)
    with tempfile.TemporaryDirectory() as place:
        gaps = with_gaps(opened, products, Path(place) / "index", seed=seed)
        drawn = {kind: queries(products, kind, size=size, seed=seed) for kind in KINDS}
        rows = {kind: measured(model, (opened, gaps), asked, seed=seed) for kind, asked in drawn.items() if asked}
        gaps.close()
    facts = {"dataset": opened.manifest.data, "split": opened.manifest.split, "products": len(products), "seed": seed}
    counts = {kind: len(asked) for kind, asked in drawn.items()}
    write_json(out, {**facts, "model": opened.manifest.encoder, "queries": counts, "kinds": rows})
    print(f"{'R@10':36}" + "".join(f"{way:>26}" for way in WAYS))
    for kind, row in rows.items():
        print(f"{kind:36}" + "".join(f"{row[way]['R@10']:26.1f}" for way in WAYS))


def _tags(rng: np.random.Generator, product: Entry, count: int) -> tuple[str, Callable[[Entry], bool]] | None:
    """Values of different tags; right are all products that have them. Numbers and sizes are no words."""
    own = {name: [value for value in values_of(tag) if any(map(str.isalpha, value))] for name, tag in product.tags.items()}
    named = sorted(name for name, values in own.items() if values)
    if len(named) < count:
        return None
    chosen = {str(name): str(rng.choice(own[name])) for name in rng.choice(named, size=count, replace=False)}

    def right(other: Entry) -> bool:
        return all(value in values_of(other.tags.get(name, "")) for name, value in chosen.items())

    return " ".join(chosen.values()), right


if __name__ == "__main__":
    typer.run(main)
