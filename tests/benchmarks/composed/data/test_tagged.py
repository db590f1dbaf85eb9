"""Queries from tagged catalogues: pairs, wordings, right answers, hard negatives, against going over all products."""

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from e2.adapters.composed.base import References
from e2.adapters.composed.reference_captions import FileCaptions
from e2.adapters.product_images import ProductImages
from e2.benchmarks.composed.data.attribute_queries import DROP, SWAP, draw_queries
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.tagged_queries import TaggedQueries, tagged_task
from e2.benchmarks.composed.data.task import Picked
from e2.benchmarks.composed.data.wishes import WORDINGS, Change, description, wish
from e2.benchmarks.composed.tasks import draw_task, open_tagged
from e2.data import open_catalogue
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, png

TAGS = ("brand", "season", "sub_category", "colour")
PHOTO = png("red")


def random_shelf(count: int = 400, seed: int = 0) -> Shelf:
    """A long-tailed catalogue: half of all products are Nike's."""
    rng = np.random.default_rng(seed)
    values = {
        "brand": ("Nike", "Puma", "Zeta", "Arrow", "Lee"),
        "season": ("Summer", "Winter"),
        "sub_category": ("Dress", "Tshirts", "Jackets"),
        "colour": ("Black", "Red", "Navy Blue", "White"),
    }
    products = []
    for i in range(count):
        weights = {name: np.full(len(each), 1 / len(each)) for name, each in values.items()}
        weights["brand"] = np.array([0.6, 0.2, 0.1, 0.05, 0.05])
        tags = {name: str(rng.choice(each, p=weights[name])) for name, each in values.items()}
        if i % 50 == 0:
            del tags["season"]
        products.append(Product(f"p{i}", (PHOTO,), (f"text {i}",), tags))
    return Shelf(products, tags=TAGS)


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return random_shelf()


@pytest.fixture(scope="module")
def products(shelf) -> TaggedProducts:
    return TaggedProducts(shelf)


def tags_of(products, place):
    return products.table.named(products.table.codes[place])


def by_id(shelf):
    return {product.product_id: dict(product.tags) for product in shelf.products}


@pytest.mark.parametrize("changes", [1, 2])
def test_right_answers_are_those_that_looking_at_every_product_finds(shelf, products, changes):
    tags = by_id(shelf)
    listed = draw_queries(SWAP, products, changes=changes, size=150)
    assert len(listed.queries) == 150 and products.incomplete == 0
    for query in listed.queries:
        reference = tags[query.reference]
        assert set(query.answers) == {name for name, mine in tags.items() if query.wanted.items() <= mine.items()}
        assert {name for name in reference if reference[name] != query.wanted[name]} == set(query.changed)
        assert set(query.wanted) == set(reference)
        assert 1 <= len(query.changed) <= changes
        assert len(set(query.wishes)) == WORDINGS
        for name, text in itertools.product(query.changed, query.wishes):
            assert query.wanted[name].lower() in text.lower()
    tuples = [(*tags[query.reference].values(), *query.wanted.values()) for query in listed.queries]
    assert len(set(tuples)) == len(tuples)


def test_draws_are_seeded_balanced_over_tags_and_not_one_brands(products):
    listed, again, other = (draw_queries(SWAP, products, swap=TAGS, size=200, seed=seed) for seed in (3, 3, 4))
    assert listed == again != other
    assert Counter(query.changed[0] for query in listed.queries) == {
        "brand": 50,
        "season": 50,
        "sub_category": 50,
        "colour": 50,
    }
    brands = Counter(tags_of(products, products.place(query.reference))["brand"] for query in listed.queries)
    assert max(brands.values()) < 0.3 * 200  # of the products 60 % are one brand's
    found = listed.statistics()
    assert found["queries"] == 200 and found["wordings"] == 5 and found["largest_brand_percent"] < 35
    assert found["by_change"]["colour"] == 50 and found["right_answers"]["largest"] >= found["right_answers"]["mean"] >= 1
    colours = draw_queries(SWAP, products, swap=["colour"], size=200)
    assert {query.changed for query in colours.queries} == {("colour",)}


def test_a_small_catalogue_gives_every_pair_once():
    tags = [("Nike", "Red"), ("Nike", "Blue"), ("Nike", "Blue"), ("Puma", "Red")]
    shelf = Shelf(
        [Product(str(i), (PHOTO,), ("x",), {"brand": b, "colour": c}) for i, (b, c) in enumerate(tags)],
        tags=("brand", "colour"),
    )
    listed = draw_queries(SWAP, TaggedProducts(shelf, keep=["colour"]), swap=["brand", "colour"], size=100)
    pairs = {(query.changed, tuple(query.wanted.values())) for query in listed.queries}
    red, blue, puma = ("Nike", "Red"), ("Nike", "Blue"), ("Puma", "Red")
    assert pairs == {(("colour",), blue), (("colour",), red), (("brand",), puma), (("brand",), red)}
    assert len(listed.queries) == 4
    assert {query.answers for query in listed.queries if query.wanted["colour"] == "Blue"} == {("1", "2")}


def test_drops_leave_out_one_tag_that_the_photo_shows_and_need_both_halves(shelf, products):
    tags = by_id(shelf)
    for query in draw_queries(DROP, products, size=100).queries:
        reference, dropped = tags[query.reference], query.dropped
        assert reference[dropped] == query.wanted[dropped]  # the photo shows it
        (changed,) = query.changed
        assert reference[changed] != query.wanted[changed]  # the photo alone finds another product
        said = {name: value for name, value in query.wanted.items() if name != dropped}
        fitting = {mine[dropped] for mine in tags.values() if said.items() <= mine.items() and dropped in mine}
        assert len(fitting) > 1  # the words alone fit several values
        assert set(query.answers) == {name for name, mine in tags.items() if query.wanted.items() <= mine.items()}
        assert query.wanted[dropped].lower() not in query.wishes[0].lower()
        assert all(value.lower() in query.wishes[1].lower() for value in said.values())


def test_hard_negatives_are_counted_by_kind(products):
    task = tagged_task(draw_queries(SWAP, products, size=20), products)
    top = np.random.default_rng(0).integers(0, len(products), (20, 30))
    top[:, -3:] = -1
    counts = task.judge.count(top)
    for number in range(20):
        reference = tags_of(products, task.references[number])
        wanted = tags_of(products, task.answers[number][0])
        changed = [name for name in reference if reference[name] != wanted[name]]
        shown = [tags_of(products, row) for row in top[number] if row >= 0]
        fits = [all(tags.get(name) == wanted[name] for name in changed) for tags in shown]
        same = [all(tags.get(name) == wanted[name] for name in reference if name not in changed) for tags in shown]
        assert counts["right"][number] == sum(a and b for a, b in zip(fits, same, strict=True))
        assert counts["right_change_wrong_garment"][number] == sum(a and not b for a, b in zip(fits, same, strict=True))
        assert counts["right_garment_unchanged"][number] == sum(reference.items() <= tags.items() for tags in shown)


def test_as_in_a_shop_no_product_needs_all_tags():
    """Each wish searches the products that have what it changes; what the reference lacks is free."""
    tags = [("Dress", "Red", None), ("Dress", "Blue", "Boho"), ("Dress", "Blue", None), ("Dress", None, "Boho")]
    tags += [("Dress", "Red", "Boho"), ("Shirt", "Red", None), (None, "Blue", "Boho")]
    names = ("sub_category", "colour", "style")
    rows = [{name: tag for name, tag in zip(names, own, strict=True) if tag} for own in tags]
    products = [Product(str(number), (PHOTO,), ("x",), own) for number, own in enumerate(rows)]
    task, listed = draw_task("attribute-swap", Shelf(products, tags=names), swap=["colour"])
    found = {(query.reference, query.wanted["colour"]): query.answers for query in listed.queries}
    assert found == {("0", "Blue"): ("1", "2"), ("1", "Red"): ("4",), ("2", "Red"): ("0", "4"), ("4", "Blue"): ("1",)}
    assert {name: rows.tolist() for name, rows in task.galleries.items()} == {"colour": [0, 1, 2, 4, 5]}
    assert task.facts["products"] == 6 and task.facts["left_out_for_missing_tags"] == 1
    assert task.facts["galleries"] == {"colour": 5}


def test_saved_queries_give_the_same_task(shelf, products, tmp_path):
    task, listed = draw_task("attribute-swap", shelf, size=30, seed=1)
    listed.save(tmp_path / "queries.json")
    again, loaded = draw_task("attribute-swap", shelf, queries=tmp_path / "queries.json")
    assert loaded == listed
    assert again.wordings == task.wordings and again.references.tolist() == task.references.tolist()
    assert [rows.tolist() for rows in again.answers] == [rows.tolist() for rows in task.answers]
    assert task.exclude_reference and task.benchmark == "attribute-swap" and len(task.wordings) == 5
    with pytest.raises(InputError, match="holds attribute-swap queries; give --benchmark attribute-swap"):
        draw_task("attribute-drop", shelf, queries=tmp_path / "queries.json")


def test_saved_queries_of_another_catalogue_are_refused(shelf, tmp_path):
    _, listed = draw_task("attribute-swap", shelf, size=30)
    listed.save(tmp_path / "queries.json")
    with pytest.raises(InputError, match="does not have with the kept tags; draw a new list"):
        draw_task("attribute-swap", random_shelf(100), queries=tmp_path / "queries.json")
    with pytest.raises(InputError, match="the catalogue has changed, draw a new list"):
        draw_task("attribute-swap", random_shelf(500), queries=tmp_path / "queries.json")
    content = json.loads((tmp_path / "queries.json").read_text())
    for damage in ({}, {**content, "queries": []}, {**content, "queries": [{"reference": "p1"}]}):
        (tmp_path / "cut.json").write_text(json.dumps(damage))
        with pytest.raises(InputError, match="give a queries.json that e2 evaluate wrote"):
            TaggedQueries.load(tmp_path / "cut.json")


def test_texts_as_targets_are_the_products_texts(shelf):
    task, _ = draw_task("attribute-drop", shelf, text="full", size=10)
    assert len(task.texts) == len(task.image_names) == 400
    row = task.answers[0][0]
    assert task.texts[row] == shelf.products[int(task.text_names[row][1:])].text("full")
    assert set(task.categories) <= set(TAGS) and task.protocol == "attribute-drop, find texts"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": 3}, "choose 1 or 2"),
        ({"size": 0}, "at least one query"),
        ({"wordings": 6}, "choose 1 to 5"),
        ({"swap": ["collar"]}, "the catalogue's tags here are brand, season, sub_category, colour"),
        ({"target": "sound"}, "choose image or text"),
        ({"text": "title"}, "choose caption or full"),
    ],
)
def test_wrong_options_are_named(shelf, options, message):
    with pytest.raises(InputError, match=message):
        draw_task("attribute-swap", shelf, **options)


def test_catalogues_without_pairs_or_tags_are_refused():
    lonely = [Product(c, (PHOTO,), ("x",), {"brand": b, "colour": c}) for b, c in (("Nike", "Red"), ("Puma", "Blue"))]
    with pytest.raises(InputError, match="no two products differ in just 1 of brand, colour; name fewer by --tags"):
        draw_task("attribute-swap", Shelf(lonely, tags=("brand", "colour")), keep=["colour"])
    with pytest.raises(InputError, match="name them by --tags"):
        draw_task("attribute-swap", Shelf(lonely, tags=()))
    with pytest.raises(InputError, match="0 products with season"):
        draw_task("attribute-swap", Shelf(lonely, tags=("season",)), keep=["season"])


@pytest.fixture(scope="module")
def department_store(tmp_path_factory):
    """A table of shirts and bags in two colours, of two brands, whose column ``articleType`` alone tells them apart."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "red.png").write_bytes(PHOTO)
    cells = itertools.product(("Nike", "Puma"), ("Red", "Blue"), ("Shirt", "Bag"), range(2))
    rows = [f"{i},red.png,text {i},{','.join(tags)},x" for i, (*tags, _) in enumerate(cells)]
    table = folder / "store.csv"
    table.write_text("\n".join(["product_id,image,caption,brand,colour,articleType,shelf", *rows]) + "\n")
    return table


@pytest.mark.parametrize("benchmark", ["attribute-swap", "attribute-drop"])
@pytest.mark.parametrize("tags", ["brand,colour", "brand,colour,articleType"])
def test_right_answers_are_the_same_kind_of_garment(department_store, benchmark, tags):
    catalogue, keep = open_tagged(str(department_store), None, tags=tags)
    assert keep == ("articleType",)
    task, listed = draw_task(benchmark, catalogue, keep=keep, size=100)
    kinds = {i: line.split(",")[5] for i, line in enumerate(department_store.read_text().splitlines()[1:])}
    assert {len({kinds[row] for row in [task.references[query], *task.answers[query]]}) for query in range(len(task))} == {1}
    assert task.facts["queries"]["keep"] == ["articleType"]
    assert {query.changed for query in listed.queries} == {("brand",), ("colour",)}


def test_a_wish_for_another_garment_is_asked_for_by_name(department_store):
    catalogue, keep = open_tagged(str(department_store), None, tags="brand,colour")
    _, listed = draw_task("attribute-swap", catalogue, keep=keep, swap=["articleType"], size=4)
    assert {query.changed for query in listed.queries} == {("articleType",)}
    assert "as a bag instead of a shirt" in {query.wishes[0] for query in listed.queries}


def test_values_spelled_two_ways_are_one():
    tags = [("ADIDAS", "T-shirt", "Red"), ("adidas", "Tshirts", "red"), ("ADIDAS", "tee shirt", "Navy-Blue")]
    tags += [("Adidas", "T-shirt", "navy blue"), ("ADIDAS", "Shirt", "Navy-Blue")]
    names = ("brand", "sub_category", "colour")
    shelf = Shelf(
        [Product(str(i), (PHOTO,), ("x",), dict(zip(names, row, strict=True))) for i, row in enumerate(tags)], tags=names
    )
    task, listed = draw_task("attribute-swap", shelf)
    (to_blue, to_red) = sorted(listed.queries, key=lambda query: query.wishes)
    assert (to_blue.wishes[0], to_blue.answers) == ("in navy-blue instead of red", ("2", "3"))
    assert (to_red.wishes[0], to_red.answers) == ("in red instead of navy-blue", ("0", "1"))
    assert task.judge.count(np.array([[4], [4]]))["right"].sum() == 0  # a shirt is not a T-shirt


def test_a_catalogue_that_does_not_say_what_its_products_are_is_refused(department_store):
    table = department_store.with_name("mute.csv")
    table.write_text(department_store.read_text().replace("articleType", "kind"))
    with pytest.raises(InputError, match="other garments would count as right; name the column .* by --keep"):
        open_tagged(str(table), None, tags="brand,colour")
    catalogue, keep = open_tagged(str(table), None, tags="brand,colour", keep="garment=kind")
    assert (catalogue.tags, keep) == (("brand", "colour", "garment"), ("garment",))
    with pytest.raises(InputError, match="no tag collar among those opened"):
        draw_task("attribute-swap", catalogue, keep=["collar"])


def test_a_list_of_a_version_that_kept_nothing_is_refused(shelf, tmp_path):
    _, listed = draw_task("attribute-swap", shelf, size=3)
    del listed.settings["keep"]
    listed.save(tmp_path / "queries.json")
    with pytest.raises(InputError, match="an older version drew it; draw a new list"):
        draw_task("attribute-swap", shelf, queries=tmp_path / "queries.json")


def test_wishes_read_like_english():
    assert wish([Change("base_colour", "Navy Blue", "Black")], 0) == "in black instead of navy blue"
    assert wish([Change("brand", "Puma", "Levi's")], 1) == "is by Levi's rather than Puma"
    assert wish([Change("sub_category", "Dress", "Overall")], 4) == "I want it as an overall, not as a dress"
    assert wish([Change("gender", "Men", "Unisex")], 2) == "the same, but for everyone"
    assert wish([Change("composition", "Cotton", "Wool"), Change("season", "Summer", "Winter")], 3) == (
        "change the material from cotton to wool and the season from summer to winter"
    )
    assert wish([Change("articleType", "Dress", "Skirt")], 0) == "as a skirt instead of a dress"
    assert wish([Change("baseColour", "Red", "Blue")], 2) == "the same, but in blue"
    assert wish([Change("sleeve_length", "Short", "Long")], 0) == "with the sleeve length long instead of short"
    assert description({"colour": "Red", "sub_category": "Jeans", "fit": "Slim"}, 0) == "jeans in red with the fit slim"


def test_captions_made_elsewhere_are_found_by_product_id(shop, tmp_path):
    catalogue = open_catalogue(str(shop), "train", tags=("brand", "colour"))
    photos = ProductImages(catalogue, np.array([2, 0, 2]), np.zeros(3, dtype=np.int64))
    records = [{"product_id": catalogue[row].product_id, "caption": f"caption\u2028{row}"} for row in range(len(catalogue))]
    file = tmp_path / "captions.jsonl"
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    picked = Picked(photos, np.array([1, 2]))
    found = FileCaptions(file).captions(References(None, picked))
    assert found == ["caption\u20280", "caption\u20282"]
