"""Ranking after a wish: the garment that it does not name comes first, by own tags or those of the nearest products."""

from types import SimpleNamespace

import numpy as np
import pytest

from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.search import queries
from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex, ProductSearch
from e2.adapters.search.keeping import Reference, agreed_tags, kept_tags, near_tags, nearest_tags, wished_tags
from e2.adapters.search.queries import IndexQuery, search, vocabulary_of
from e2.adapters.search.store import Entry
from e2.data.product import values_of
from tests.adapters.search.conftest import manifest

BLUE_SHOE = np.array([-0.6, 0.0, 0.8], np.float32)
RED_SHIRT = np.array([[1.0, 0.0, 0.0]])
GARMENTS, COLOURS = ("Tshirts", "Backpacks"), ("Red", "Blue", "Light Blue")


@pytest.fixture
def products(tmp_path):
    """30 products of two garments and three colours; each vector adds its garment's and its colour's axis."""
    entries = []
    for number in range(30):
        garment, colour = GARMENTS[number % 2], COLOURS[number % 3]
        vector = np.array([1 - number % 2, number % 2, 3 * (colour != "Red") + number / 100])
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        tags = {"kind": garment, "colour": colour}
        entries.append(Entry(f"{garment}-{colour}-{number}", str(number), "", tags, b"\xff\xd8", vector))
    store = create_store(str(tmp_path / "index"), manifest(entities=("kind", "colour"), dim=3))
    store.write(entries)
    store.finish()
    index = ProductIndex(store)
    yield index
    index.close()


def query(products: ProductSearch, wish: str, tags=None) -> IndexQuery:
    """The blend of a red T-shirt and "blue" that is nearest to blue bags."""
    reference = Reference(wish, RuleEditor(vocabulary_of(products)), tags or agreed_tags(nearest_tags(products, RED_SHIRT)))
    return IndexQuery(np.array([[0.2, 0.8, 3.0]]), reference=reference)


def names(found) -> list[str]:
    return [hit.product_id for hit in found.hits]


def test_a_red_shirt_in_blue_gives_shirts_the_blue_ones_first(products):
    plain = search(products, IndexQuery(query(products, "in blue").vector), 10)
    found = search(products, query(products, "in blue"), 15)
    assert names(plain)[0].startswith("Backpacks")
    assert all(name.startswith("Tshirts") for name in names(found)) and found.kept == {"kind": "Tshirts"}
    assert all("Blue" in name for name in names(found)[:10]) and all("Red" in name for name in names(found)[10:])


def test_of_two_wished_tags_products_with_one_come_before_those_with_none(products):
    reference = query(products, "as a blue backpack").reference
    found = names(search(products, IndexQuery(RED_SHIRT, reference=reference), 30))
    assert all(name.startswith("Backpacks") and "Blue" in name for name in found[:10])
    assert all(name.startswith("Tshirts-Red") for name in found[25:]) and len(found) == 30


def test_pages_continue_each_other_through_all_tiers(products):
    whole = names(search(products, query(products, "in blue"), 30))
    pages, offset = [], 0
    while offset is not None:
        page = search(products, query(products, "in blue"), 7, offset=offset)
        pages, offset = pages + names(page), page.next_offset
    assert pages == whole and len(set(whole)) == 30


@pytest.mark.parametrize(
    ("wish", "tags", "kept"),
    [
        ("in blue", {}, {"kind": "Tshirts"}),
        ("in blue", {"kind": "Backpacks"}, {"kind": "Backpacks"}),  # a product's own tag wins
        ("as a backpack", {}, {}),
        ("anything but a T-shirt", {}, {}),
        ("with a hood", {}, {"kind": "Tshirts"}),
    ],
)
def test_the_garment_is_kept_unless_the_wish_changes_it(products, wish, tags, kept):
    assert kept_tags(query(products, wish, tags).reference) == kept


def test_a_photo_whose_neighbours_are_of_several_garments_keeps_those(products):
    between = np.array([[0.5, 0.5, 1.0]])
    near = near_tags(nearest_tags(products, between))
    assert "kind" not in agreed_tags(nearest_tags(products, between)) and set(values_of(near["kind"])) == set(GARMENTS)
    editor = RuleEditor(vocabulary_of(products))
    keep = lambda wish, tags={}: kept_tags(Reference(wish, editor, tags, near))  # noqa: E731, B006 - never changed
    assert keep("in blue") == {"kind": near["kind"]}
    assert keep("in blue, no backpack") == {"kind": "Tshirts"} and keep("as a backpack") == {}
    assert keep("in blue", {"kind": "Backpacks"}) == {"kind": "Backpacks"}  # what is known wins
    shoes = [Entry(f"shoe-{n}", "", "", {"kind": "Shoes", "colour": "Blue"}, b"", BLUE_SHOE) for n in range(3)]
    products.store.write(shoes)
    query = IndexQuery(BLUE_SHOE[None], reference=Reference("in blue", editor, {}, near))
    assert not any(name.startswith("shoe") for name in names(search(products, query, 30)))


def test_neighbours_that_do_not_agree_tell_nothing(products):
    assert agreed_tags(nearest_tags(products, RED_SHIRT)) == {"kind": "Tshirts"}  # 5 of 10 are red
    assert "kind" not in agreed_tags(nearest_tags(products, np.array([[0.5, 0.5, 1.0]])))


def test_wished_values_are_those_of_the_catalogue(products):
    assert wished_tags(products, query(products, "in blue").reference) == {"colour": ["Blue", "Light Blue"]}
    assert wished_tags(products, query(products, "with a hood").reference) == {}


def test_a_page_is_full_however_many_descriptions_name_what_is_unwanted(products, monkeypatch):
    monkeypatch.setattr(queries, "MORE", 2)
    red = SimpleNamespace(in_product=lambda tags, caption: tags["colour"] == "Red", of_tags=lambda vocabulary: {})
    asked = IndexQuery(RED_SHIRT, unwanted=red)
    naive = [hit.product_id for hit in products.search(RED_SHIRT, 30)[0] if hit.tags["colour"] != "Red"]
    first = search(products, asked, 11)
    second = search(products, asked, 9, offset=first.next_offset)
    assert names(first) + names(second) == naive and len(first.hits) == 11 and second.next_offset is None
