"""Measures the share of a search's first ten hits that have a value that the wish rejects.

Each pattern is asked of products with the value and as many without, with their own descriptions as captions:

    python -m e2.benchmarks.composed.evaluate_wishes --encoder runs/mine --data boutique \\
        --tags colour,sub_category --out wishes.json
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from e2.adapters.composed.base import Composed
from e2.adapters.composed.fashion_words import ENTITIES
from e2.adapters.composed.lexicon import Value
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.unwanted import Unwanted, unwanted_of, values_of
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.tag_reader import tag_vocabulary
from e2.benchmarks.core.encoded import EncodedOnce
from e2.data.product import Catalogue, without_photos
from e2.data.product import values_of as values_of_tag
from e2.errors import InputError
from e2.files import write_json
from e2.options import TableOptions
from e2.spelling import same_values, spelling

TOP = 10
PRODUCTS = 40  # products with the value, and as many without, for each pattern
PATTERNS = {  # kind of the unwanted value, or which thing it is -> wishes; {other} is another value of the kind
    "colour": (
        "I don’t want {value}",
        "anything but {value}",
        "any colour except {value}",
        "other than {value}",
        "avoid {value}",
        "not {value}",
        "less {value}",
        "{other} not {value}",
        "in {other} instead of {value}",
        "different colour",
    ),
    "garment": ("not {value}, {other}", "no {value}", "anything but {value}"),
    "stripes": (
        "i dont want stripes",
        "I don't like stripes",
        "get rid of stripes",
        "non striped",
        "no stripes, black",
        "not striped, plain",
        "without stripes",
        "too many stripes",
    ),
    "hood": ("without a hood, black", "without the hood", "hoodless"),
}
WAYS = ("words", "rewritten", "turned", "search")


class Question(NamedTuple):
    """A wish about the product of a row, and the value that it does not want."""

    row: int
    wish: str
    value: Value


class Shop:
    """A catalogue's photos, descriptions and tags as searched by wishes."""

    def __init__(self, encoder: Encoder, catalogue: Catalogue):
        products = list(without_photos(catalogue))
        self.captions = [product.captions[0] for product in products]
        self.tags = [dict(product.tags) for product in products]
        self.vocabulary = tag_vocabulary(catalogue)
        self.editor = RuleEditor(self.vocabulary)
        self.values = [values_of(self.editor.lexicon, product.tags, product.captions[0]) for product in products]
        self.photos = encoder.encode_images(ProductImages.first(catalogue))
        self.encode = partial(EncodedOnce(encoder).encode_texts, progress=False)

    def having(self, unwanted: Unwanted) -> np.ndarray:
        """Mask (N,) of the products that have a value, by tag or description."""
        return np.array([unwanted.among(values) for values in self.values])

    def questions(self, kind: str, pattern: str, rng: np.random.Generator) -> Iterator[Question]:
        """Yields up to `PRODUCTS` questions on products with the value and as many without."""
        if kind not in ENTITIES:
            value = self.editor.lexicon.value_of(kind)
            assert value is not None
            has = self.having(Unwanted((value,), self.editor.lexicon))
            for rows in (np.flatnonzero(has), np.flatnonzero(~has)) if has.any() else ():
                yield from (Question(int(row), pattern, value) for row in rng.permutation(rows)[:PRODUCTS])
            return
        entity = self.editor.lexicon.kind(kind)
        tagged = [row for row in rng.permutation(len(self.tags)) if entity in self.tags[row]]
        for number, row in enumerate(tagged[: 2 * PRODUCTS]):
            own, *more = values_of_tag(self.tags[row][entity])
            others = [name for name in self.vocabulary[entity] if spelling(name) not in same_values([own, *more])]
            first, second = rng.permutation(others)[:2]
            name, other = (own, first) if number % 2 == 0 or "{value}" not in pattern else (first, second)
            wish = pattern.format(value=name.lower(), other=other.lower())
            yield Question(int(row), wish, self.editor.lexicon.named(entity, str(name)))


def shares(shop: Shop, kind: str, pattern: str, *, seed: int = 0) -> dict[str, float]:
    """Percentage of the first hits that have the unwanted value, and number of wishes.

    ``words``: by the wish's own words; ``rewritten``: by the rules' description; ``turned``: that query moved away from the
    value; ``search``: the same without products whose tags or descriptions have it, as searches do.
    """
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for question in shop.questions(kind, pattern, np.random.default_rng(seed)):
        rewritten = shop.editor.edit_caption(shop.captions[question.row], question.wish)
        vectors = shop.encode([question.wish, rewritten])
        unwanted = unwanted_of(Composed(vectors[1:], [], [rewritten]), question.wish, shop.editor)
        turned = unwanted.avoided(vectors[1:], shop.encode)
        has = shop.having(Unwanted((question.value,), shop.editor.lexicon))
        kept = ~shop.having(unwanted) if unwanted else np.ones(len(has), dtype=bool)
        for way, query in zip(WAYS, (vectors[0], vectors[1], turned[0], turned[0]), strict=True):
            allowed = kept if way == "search" else np.ones(len(has), dtype=bool)
            scores = np.where(allowed & (np.arange(len(has)) != question.row), shop.photos @ query, -np.inf)
            found[way].append(100 * float(has[np.argsort(-scores, kind="stable")[:TOP]].mean()))
    means = {way: float(np.mean(values)) for way, values in found.items() if values}
    return {**means, "wishes": len(found["words"])} if means else {}


def main(
    encoder: Annotated[str, typer.Option(help="an encoder")],
    data: Annotated[str, typer.Option(help="a catalogue with tags")],
    out: Annotated[Path, typer.Option(help="JSON file")],
    split: str = "test",
    tags: str = "",
    seed: int = 0,
) -> None:
    """Measure every pattern and write the shares."""
    catalogue = TableOptions().open(data, split, tags or None)
    model = load_encoder(encoder, device="cpu", workers=0)
    shop = Shop(model, catalogue)
    rows = {f"{kind}: {p}": shares(shop, kind, p, seed=seed) for kind, patterns in PATTERNS.items() for p in patterns}
    rows = {pattern: row for pattern, row in rows.items() if row}
    if not rows:
        raise InputError(f"{data}: no product has a colour, a garment, stripes or a hood that wishes could name")
    about = {"dataset": catalogue.name, "split": split, "n": len(catalogue), "seed": seed, "top": TOP, "model": model.info}
    write_json(out, {**about, "patterns": {p: {k: round(v, 2) for k, v in row.items()} for p, row in rows.items()}})
    print(f"{'wish':40}" + "".join(f"{name:>11}" for name in (*WAYS, "wishes")))
    for pattern, row in rows.items():
        print(f"{pattern:40}" + "".join(f"{row[way]:11.1f}" for way in WAYS) + f"{row['wishes']:11.0f}")


if __name__ == "__main__":
    typer.run(main)
