"""The built-in catalogue: the same every time, plausible, with true boxes, and no test combination in train."""

import io
import json
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from e2.data.boutique import draw_product, make_boutique
from e2.data.boutique.attributes import SEASONS, TAGS, pool, sample_design
from e2.data.boutique.brands import BRANDS, COLOURINGS
from e2.data.boutique.fabrics import FABRICS
from e2.data.boutique.features import FEATURES
from e2.data.boutique.kinds import KINDS
from e2.data.boutique.palette import COLOURS, PARTNERS, rgb
from e2.data.boutique.prints import PRINTS
from e2.data.boutique.shapes import circle, cut, mirror, outline, warped
from e2.data.boutique.silhouettes import SILHOUETTES
from e2.data.boutique.vocabulary import CUES, NOUNS, PLACE_WORDS
from e2.data.boutique.words import describe
from e2.errors import InputError

SPLITS = ("train", "val", "test")


def designs(split: str, count: int):
    """The designs of the first products of a split, without drawing them."""
    return [sample_design(np.random.default_rng((0, SPLITS.index(split), i)), split) for i in range(count)]


@pytest.fixture(scope="module")
def products():
    return [draw_product(i) for i in range(100)]


def decode(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)))


def test_the_same_arguments_give_the_same_bytes():
    first, second = draw_product(7, split="val", seed=3), draw_product(7, split="val", seed=3)
    assert first == second
    others = [
        draw_product(8, split="val", seed=3),
        draw_product(7, split="test", seed=3),
        draw_product(7, split="val", seed=4),
    ]
    assert len({p.image for p in (first, *others)}) == 4


def test_bytes_depend_neither_on_workers_nor_on_counts(tmp_path):
    make_boutique(tmp_path / "one", train=5, val=2, test=2, size=64, workers=1, progress=False)
    make_boutique(tmp_path / "two", train=3, val=2, test=4, size=64, workers=2, progress=False)
    one, two = (pq.read_table(tmp_path / name / "train.parquet").to_pylist() for name in ("one", "two"))
    assert one[:3] == two
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["test.parquet", "train.parquet", "val.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]  # no temporary folder left


def test_tables_hold_all_columns(tmp_path):
    make_boutique(tmp_path / "shop", train=2, val=1, test=1, size=96, workers=1, progress=False)
    row = pq.read_table(tmp_path / "shop" / "train.parquet").to_pylist()[0]
    assert list(row) == ["product_id", "image", "caption", *TAGS, "regions"]
    assert decode(row["image"]["bytes"]).shape == (96, 96, 3)
    assert set(json.loads(row["regions"])) == set(TAGS)
    assert all(row[tag] for tag in TAGS)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": -1}, {"size": 8}, {"seed": -1}])
def test_impossible_catalogues_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        make_boutique(tmp_path / "shop", progress=False, **wrong)
    assert not (tmp_path / "shop").exists()


def test_an_existing_folder_is_left_alone(tmp_path):
    with pytest.raises(InputError, match="exists already"):
        make_boutique(tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_the_range_is_as_wide_as_promised():
    assert len(KINDS) >= 14
    assert set(KINDS) == set(SILHOUETTES) == set(NOUNS) == set(CUES) == set(PLACE_WORDS)
    assert len(BRANDS) == len({brand.name for brand in BRANDS}) >= 40
    assert len({(b.glyph, b.badge, b.colouring) for b in BRANDS}) == len(BRANDS)
    assert len({fabric.tag for fabric in FABRICS.values()}) >= 12
    assert len(SEASONS) == 4
    assert all(set(cues) == set(SEASONS) for cues in CUES.values())


def test_no_single_trait_of_a_logo_gives_a_brand_away():
    for trait in ("glyph", "badge", "colouring", "place"):
        assert min(Counter(getattr(brand, trait) for brand in BRANDS).values()) >= 3


def test_tables_of_plausible_values_fit_together():
    for name, kind in KINDS.items():
        assert set(kind.fabrics) <= set(FABRICS)
        assert set(kind.colours) <= set(COLOURS) == set(PARTNERS)
        assert set(kind.prints) <= set(PRINTS)
        assert any(key[0] == name for key in FEATURES)
    for sub_category, detail, value in FEATURES:
        assert value in KINDS[sub_category].details[detail]


def test_combinations_are_disjoint_between_splits_whatever_the_seed():
    seen = {split: {(d.sub_category, d.brand.name, d.composition, d.colour) for d in designs(split, 1500)} for split in SPLITS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["val"]
    assert not seen["val"] & seen["test"]
    other_seed = (sample_design(np.random.default_rng((9, 0, i)), "train") for i in range(300))
    assert {pool(design) for design in other_seed} == {"train"}


def test_every_tag_of_test_is_common_in_train_and_brands_have_a_long_tail():
    train, test = designs("train", 4000), designs("test", 1000)
    for tag in TAGS:
        counts = Counter(design.tags[tag] for design in train)
        assert min(counts[design.tags[tag]] for design in test) >= 10
    brands = [count for _, count in Counter(d.brand.name for d in train).most_common()]
    assert len(brands) == len(BRANDS)
    assert brands[0] > 5 * brands[-1]


def test_boxes_lie_in_the_picture_and_the_logo_takes_one_to_four_percent(products):
    for product in products:
        assert tuple(product.tags) == TAGS == tuple(product.regions)
        for x0, y0, x1, y1 in product.regions.values():
            assert 0 <= x0 < x1 <= 1
            assert 0 <= y0 < y1 <= 1
        x0, y0, x1, y1 = product.regions["brand"]
        assert 0.01 <= (x1 - x0) * (y1 - y0) <= 0.04


def test_products_are_not_cut_off_at_the_edge(products):
    for product in products:
        x0, y0, x1, y1 = product.regions["sub_category"]
        assert x0 > 0 and y0 > 0 and x1 < 1 and y1 < 1
        assert (x1 - x0) * (y1 - y0) > 0.12


def test_boxes_point_at_what_they_name(products):
    """The patch has its house's colours inside the box of the brand."""
    for product in products[:40]:
        picture = decode(product.image) / 255.0
        x0, y0, x1, y1 = (round(v * 224) for v in product.regions["brand"])
        ground = rgb(COLOURINGS[product.design.brand.colouring][0])
        near = np.abs(picture - ground).max(axis=2) < 0.2
        assert near[y0:y1, x0:x1].mean() > 0.2, product.product_id


def test_pictures_differ_and_use_the_whole_range(products):
    pictures = np.stack([np.asarray(Image.fromarray(decode(p.image)).resize((16, 16))) for p in products]).astype(float)
    gaps = np.abs(pictures[:, None] - pictures[None]).mean(axis=(2, 3, 4)) + 255 * np.eye(len(products))
    assert gaps.min() > 2
    assert decode(products[0].image).shape == (224, 224, 3)
    assert np.mean([decode(p.image).std() for p in products]) > 25


OF_EVERY_COLOUR = re.compile("white laces|white toe cap|black block heel")  # parts that are never dyed


def colour_words(text: str) -> set[str]:
    return {name for name in COLOURS if re.search(rf"\b{name}\b", OF_EVERY_COLOUR.sub("", text.lower()))}


def test_descriptions_have_two_to_four_sentences_of_shop_length():
    sentences, words = Counter(), []
    for i, design in enumerate(designs("train", 800)):
        text = describe(design, np.random.default_rng(i))
        sentences[len(re.findall(r"\.(?: |$)", text))] += 1
        words.append(len(text.split()))
        assert "{" not in text and "  " not in text and not re.search(r"\b[Aa] [aeiou](?!ne)", text.replace("A A-", "")), text
    assert set(sentences) <= {2, 3, 4}
    assert min(words) >= 20 and max(words) <= 45


def test_descriptions_speak_of_the_product_only():
    named = 0
    for i, design in enumerate(designs("train", 800)):
        text = describe(design, np.random.default_rng(i))
        own = {design.colour, design.partner} | colour_words(design.brand.colouring)
        assert design.colour in text.lower()
        assert colour_words(text) <= own, text
        assert not {s for s in SEASONS if re.search(rf"\b{s.lower()}\b", text.lower())} - {design.season}, text
        assert any(words in text.lower() for words in FABRICS[design.fabric].words), text
        assert not {b.name for b in BRANDS if b.name in text} - {design.brand.name}, text
        named += design.brand.name in text
    assert 0.2 < named / 800 < 0.8  # some captions name the brand, not all


def test_descriptions_vary():
    design = designs("train", 1)[0]
    texts = {describe(design, np.random.default_rng(i)) for i in range(200)}
    assert len(texts) > 150
    assert len({describe(d, np.random.default_rng(i)) for i, d in enumerate(designs("train", 800))}) > 780


def test_paths_are_mirrored_warped_measured_and_cut():
    assert mirror("M 1 2 L -3 4 Z") == "M -1 2 L 3 4 Z"
    assert warped("M 1 2 Q .5 1 2 2", lambda points: points * 2) == "M 2.00 4.00 Q 1.00 2.00 4.00 4.00"
    points = outline(circle(5, -3, 10))
    np.testing.assert_allclose(points.min(axis=0), (-5, -13), atol=0.05)
    np.testing.assert_allclose(points.max(axis=0), (15, 7), atol=0.05)
    straight = ((0, 0), (1, 0), (2, 0), (3, 0))
    np.testing.assert_allclose(cut(straight, 0.5, 1.0), ((1.5, 0), (2, 0), (2.5, 0), (3, 0)))
