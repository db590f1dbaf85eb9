"""Which tags captions name: spellings, what is said of the product itself, and references measured against themselves."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from e2.benchmarks.captioning.tag_scores import TagVocabulary, is_right, rarely_named, tag_counts, tag_metrics, verdict
from e2.data.boutique.attributes import TAGS as BOUTIQUE
from e2.data.boutique.attributes import sample_design
from e2.data.boutique.words import describe
from tests.shared import shared_path

TAGS = [
    {"brand": "Red Tape", "colour": "Red", "sub_category": "Boots"},
    {"brand": "Levi's", "colour": "Blue", "sub_category": "Jackets"},
    {"brand": "AND", "colour": "Navy Blue", "sub_category": "T-Shirts", "season": "Winter"},
    {"brand": "Lumacove", "colour": "White", "sub_category": "Shirts", "composition": "100% Cotton"},
    {"colour": "Black", "sub_category": "Shorts", "season": "Summer", "composition": "Silk Satin"},
    {"colour": "Multi", "sub_category": "Heels"},
    {"colour": "Gold", "sub_category": "Jeans"},
    {"sub_category": "Blazers"},
    {"sub_category": "Necklace and Chains"},
    {"sub_category": "Sweaters"},
    {"brand": "Next", "composition": "Lace"},
]
VOCABULARY = TagVocabulary(TAGS)


def claimed(text: str) -> list[tuple[str, str]]:
    """The words in a text and the values that they claim for the product."""
    return [(text[m.start : m.end], m.value) for m in VOCABULARY.find(text)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        # spellings, the longest first
        ("Red Tape shoes", ["Red Tape"]),
        ("a red, taped redwood Tape", ["Red"]),
        ("LEVIS blue jacket", ["Levi's", "Blue", "Jackets"]),
        ("tee-shirt in navy and cotton", ["T-Shirts", "Navy Blue", "100% Cotton"]),
        ("a shirt and tie", ["Shirts"]),
        ("AND shirt", ["AND", "Shirts"]),
        ("a red teeshirt, ready for next summer", ["Red", "T-Shirts", "Summer"]),
        ("lace-up boots", ["Boots"]),
        ("Next shirt in lace", ["Next", "Shirts", "Lace"]),
        ("a short \U0001f457 sleeve", []),
        ("\U0001f457 red", ["Red"]),
        # synonyms
        ("a golden jumper", ["Gold", "Sweaters"]),
        ("a tailored jacket", ["Blazers"]),
        ("a multicoloured necklace", ["Multi", "Necklace and Chains"]),
        # of the product only
        ("A black t-shirt. Pair it with blue jeans and red heels.", ["Black", "T-Shirts"]),
        ("black boots, worn over white jeans", ["Black", "Boots"]),
        ("A navy jacket with a red lining", ["Navy Blue", "Jackets"]),
        ("a jacket lined with red satin in blue", ["Jackets", "Blue"]),
        ("the heel of a boot", []),
        ("boots with a thin black heel", ["Boots"]),
        ("a red boot with high heels", ["Red", "Boots"]),
        ("a shirt, not white, in blue", ["Shirts", "Blue"]),
        ("a jacket without red or gold buttons", ["Jackets"]),
        ("it isn't black but white", ["White"]),
        ("no winter coat", []),
        ("A shirt with white breton stripes, cut from silk satin in black.", ["Shirts", "Silk Satin", "Black"]),
        ("Black, in silk satin with white stripes: a shirt.", ["Black", "Silk Satin", "Shirts"]),
        ("A hexagon patch, gold on black, sits low. A red shirt.", ["Red", "Shirts"]),
        ("The patch of Lumacove sits on the chest", ["Lumacove"]),
        ("Winter calls for fluffy hems", ["Winter"]),
        ("A skirt hem banded in red for summer days", ["Summer"]),
        # claims of several values
        ("a black and white shirt", ["Black", "White", "Shirts"]),
        ("a black shirt. White trousers.", ["Black", "Shirts"]),
        ("white check shirt", ["White", "Shirts"]),
        ("", []),
        ("red " * 3 + "word " * 30_000, ["Red"] * 3),
    ],
)
def test_what_a_caption_says_of_the_product(text, values):
    assert [value for _, value in claimed(text)] == values


@pytest.mark.parametrize(
    ("text", "entity", "true", "right"),
    [
        ("a blue shirt", "colour", "Blue", True),
        ("a red shirt", "colour", "Blue", False),
        ("a black and white shirt", "colour", "White", True),
        ("a black and white shirt", "colour", "Blue", False),
        ("a navy shirt", "colour", "Blue", None),  # a kind of blue
        ("a blue shirt", "colour", "Navy Blue", None),
        ("a multicoloured shirt", "colour", "Blue", None),
        ("a t-shirt", "sub_category", "Shirts", False),
        ("a shirt", "sub_category", "T-Shirts", False),
        ("Levis shirt", "brand", "LEVI'S", True),
        ("a shirt", "colour", "Blue", None),
    ],
)
def test_a_claim_is_right_wrong_or_neither(text, entity, true, right):
    mentions = VOCABULARY.find(text)
    assert verdict(entity, mentions, {entity: true}) is right
    assert verdict(entity, mentions, {}) is None
    named = [is_right(m, mentions, {entity: true}) for m in mentions if m.entity == entity]
    assert (True in named) is (right is True) and (False in named) is (right is False)


def test_tag_precision_and_recall_by_hand():
    entities, texts = ("brand", "colour"), ["Red Tape shoes in red", "a red jacket by Red Tape", "Levi's red"]
    tags = [{"brand": "Red Tape", "colour": "Red"}, {"brand": "Levi's", "colour": "Blue"}, {"composition": "Wool"}]
    counts = tag_counts([VOCABULARY.find(text) for text in texts], tags, entities)
    # right, wrong, known, named: the third product has neither tag, so that nothing counts
    assert counts.tolist() == [[[1, 0, 1, 1], [1, 0, 1, 1]], [[0, 1, 1, 1], [0, 1, 1, 1]], [[0] * 4, [0] * 4]]
    metrics = tag_metrics(counts.sum(axis=0), entities)
    assert metrics["tag_precision_brand"] == metrics["tag_recall_brand"] == 50
    assert metrics["tag_precision"] == metrics["tag_recall"] == 50


def test_a_precision_needs_one_caption_in_a_hundred():
    counts = np.array([[1, 6, 2000, 7], [1, 1, 4, 2], [20, 0, 2000, 20]])
    assert rarely_named(counts, ("season", "colour", "brand")) == {
        "tag_precision_season": "season is named by 7 of 2,000 captions"
    }


def against_themselves(texts: list[str], tags: list[dict[str, str]], entities: tuple[str, ...]) -> dict[str, float]:
    vocabulary = TagVocabulary({e: t[e] for e in entities if e in t} for t in tags)
    counts = tag_counts([vocabulary.find(text) for text in texts], tags, entities).sum(axis=0)
    rare = rarely_named(counts, entities)
    return {name: value for name, value in tag_metrics(counts, entities).items() if name not in rare}


def test_references_of_boutique_are_right_about_themselves():
    rng = np.random.default_rng(0)
    designs = [sample_design(rng, "test") for _ in range(400)]
    found = against_themselves([describe(d, rng) for d in designs], [d.tags for d in designs], BOUTIQUE)
    assert all(found[f"tag_precision_{entity}"] >= 97 for entity in BOUTIQUE)
    least = {"brand": 50, "season": 55, "sub_category": 85, "composition": 30, "colour": 99}
    assert all(found[f"tag_recall_{entity}"] >= recall for entity, recall in least.items())


def test_references_of_real_photos_are_right_about_themselves():
    table = pq.read_table(
        shared_path("data/fashion-products/test.parquet"), columns=["caption", "brand", "sub_category", "colour"]
    )
    rows = table.to_pylist()
    tags = [{name: value for name, value in row.items() if name != "caption" and value} for row in rows]
    entities = ("brand", "sub_category", "colour")
    found = against_themselves([row["caption"] for row in rows], tags, entities)
    assert all(found[f"tag_precision_{entity}"] >= 97 for entity in entities)
    assert found["tag_recall_brand"] > 99 and found["tag_recall_sub_category"] > 80 and found["tag_recall_colour"] > 90


def test_a_claim_of_any_of_a_products_values_is_right():
    tags = {"style": "casual | boho", "colour": "Navy Blue | red"}
    vocabulary = TagVocabulary([tags, {"style": "formal", "colour": "green"}])
    verdicts = {
        "A casual dress": ("style", True),
        "A boho dress": ("style", True),
        "A formal dress": ("style", False),
        "A red dress": ("colour", True),
        "A green dress": ("colour", False),
    }
    for caption, (entity, right) in verdicts.items():
        mentions = vocabulary.find(caption)
        assert verdict(entity, mentions, tags) is right and is_right(mentions[0], mentions, tags) is right, caption
