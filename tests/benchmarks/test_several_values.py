"""Several values of a tag: every task counts them one by one, whatever their order and spelling."""

import numpy as np
import pytest

from e2.adapters.tag_reader import TagReader, tag_vocabulary
from e2.benchmarks.catalogue.labels import suspects
from e2.benchmarks.catalogue.words import tag_faults
from e2.benchmarks.compare import tags as compared
from e2.benchmarks.composed.data.tag_pairs import TagTable
from e2.benchmarks.composed.data.wishes import Change, description, wish
from e2.benchmarks.detail.evaluate import Searcher, read_shelf
from e2.benchmarks.detail.metrics import fitting
from e2.benchmarks.gap import evaluate as gap
from e2.benchmarks.grounding.maps import tag_texts
from e2.benchmarks.probe.evaluate import Splits, read_labels
from e2.benchmarks.retrieval.similar import tag_groups
from e2.data.product import SEPARATOR, Product
from tests.benchmarks.stubs import Shelf, colour_encoder, png

TAGS = ["red | blue", "Blue | red", "red", "blue"] + ["green", "white | green"] * compared.LEAST


def shelf_of(tags: list[str]) -> Shelf:
    return Shelf([Product(str(row), (png("red"),), ("red",), {"look": tag}) for row, tag in enumerate(tags)], tags=("look",))


def values_of(shelf: Shelf) -> list[tuple[str, ...]]:
    return [tuple(value.lower() for value in product.values["look"]) for product in shelf.products]


def read_off(shelf: Shelf) -> list[object]:
    reader = TagReader(colour_encoder(), {"look": ["red", "blue", "green", "white"]}, several=("look",))
    images = np.eye(5, dtype=np.float32)[[0] * len(shelf)]
    tags = [product.tags for product in shelf.products]
    return [reader.measure(images[[row]], None, [own])["look"] for row, own in enumerate(tags)]


def gap_texts(shelf: Shelf) -> list[object]:
    kinds = gap._kinds(colour_encoder(), gap._subjects(shelf, shelf, "caption"), (np.zeros((len(shelf), 5)),) * 2, None)
    return kinds["look_"][2].tolist()


def probed(shelf: Shelf) -> list[object]:
    labels = read_labels(Splits(shelf, shelf, shelf))["look"]
    return [sorted(labels.classes[0][labels.rows[0] == row].tolist()) for row in range(len(shelf))]


def doubted(shelf: Shelf) -> list[object]:
    """Suspects that a product is while all its neighbours are green."""
    found: list[object] = []
    for row in range(len(shelf)):
        values = [("green",)] * 8 + [("red",)] * 8 + [("blue",)] * 8 + [values_of(shelf)[row]]
        neighbours = np.array([[(place // 8 * 8) + k for k in range(4)] for place in range(24)] + [[0, 1, 2, 3]])
        last = [one for one in suspects(values, neighbours, np.ones(neighbours.shape)) if one.product == 24]
        found.append([(one.suggested, one.margin) for one in last])
    return found


PLACES = {
    "tags read off photos": read_off,
    "swaps": lambda shelf: TagTable.of([[p.tags["look"]] for p in shelf.products], ["look"]).codes[:, 0].tolist(),
    "grounding": lambda shelf: tag_texts(colour_encoder(), [p.tags for p in shelf.products], ["look"])["look"].tolist(),
    "gap": gap_texts,
    "probes": probed,
    "comparison": lambda shelf: compared.read_tag_labels(shelf.products, ["look"])["look"].own.tolist(),
    "photos to photos": lambda shelf: tag_groups(shelf.products, ["look"]).tolist(),
    "detail": lambda shelf: fitting(["look"], Searcher(colour_encoder(), read_shelf(shelf)).seen).tolist(),
    "doubts": doubted,
}


@pytest.mark.parametrize("place", PLACES)
def test_the_same_values_are_the_same_in_any_order(place):
    both, turned, *_ = PLACES[place](shelf_of(TAGS))
    assert both == turned


@pytest.mark.parametrize("names", [
    lambda shelf: [value for values in tag_vocabulary(shelf).values() for value in values],
    lambda shelf: compared.read_tag_labels(shelf.products, ["look"])["look"].values,
    lambda shelf: [one.text for one in compared.tag_queries(compared.read_tag_labels(shelf.products, ["look"]), 0)],
    lambda shelf: read_labels(Splits(shelf, shelf, shelf))["look"].values,
    lambda shelf: [str(tag_faults([p.tags["look"] for p in shelf.products]))],
    lambda shelf: [wish([Change("look", p.tags["look"], "white | green")], 0) for p in shelf.products],
    lambda shelf: [description({"look": p.tags["look"]}, 0) for p in shelf.products],
])  # fmt: skip
def test_no_combination_is_taken_for_a_value(names):
    found = names(shelf_of(TAGS))
    assert found and not any(SEPARATOR.strip() in name for name in found)


def test_wishes_and_texts_of_several_values_by_hand():
    change = Change("colour", "Red | Blue", "Black")
    assert wish([change], 0) == "in black instead of red and blue"
    assert wish([Change("category", "Dress", "Coat | Hats")], 0) == "as a coat and hats instead of a dress"
    texts = tag_texts(colour_encoder(), [{"look": "red | blue"}, {}], ["look"])["look"]
    assert np.allclose(texts, [[0.5**0.5, 0, 0.5**0.5, 0, 0], [0] * 5])


def test_probes_of_a_comparison_know_which_rows_are_one_product(monkeypatch):
    fit, given = compared.fit_probe, []
    monkeypatch.setattr(compared, "fit_probe", lambda *parts, **options: given.append(options) or fit(*parts, **options))
    own = np.eye(2, dtype=bool)[np.repeat([0, 1], 20)]
    own[:6] = True
    compared.probe_right(np.eye(2, 4, dtype=np.float32)[own[:, 1].astype(int)], compared.TagLabels(["a", "b"], own), seed=0)
    fitted = [rows for options in given for rows in options["products"]]
    assert len(fitted) == 2 * compared.FOLDS and all(len(rows) > len(set(rows.tolist())) for rows in fitted[::2])
