"""What a wish wants gone is not a hit: by tags, by descriptions, and by the score where neither says anything."""

import numpy as np
import pytest

from e2.adapters.composed import make_composer
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.unwanted import Unwanted
from e2.adapters.search.catalogue import find
from tests.conftest import jpeg

EDITOR = RuleEditor({"base_colour": ["Grey", "Navy Blue", "Off White", "Red"], "brand": ["Puma"]})


def unwanted(wish):
    return Unwanted(EDITOR.read(wish).unwanted, EDITOR.lexicon)


@pytest.mark.parametrize(
    ("wish", "tags", "description", "out"),
    [
        ("anything but grey", {"base_colour": "Grey"}, "a shirt", True),
        ("not gray", {"base_colour": "Grey"}, "", True),
        ("no blue", {"base_colour": "Navy Blue"}, "", True),
        ("not white", {"base_colour": "Off White"}, "", False),
        ("anything but grey", {"base_colour": "Red"}, "a red shirt with a grey collar", False),  # the tag decides
        ("anything but grey", {}, "a grey shirt", True),
        ("no stripes", {"base_colour": "Grey"}, "Puma Striped Shirt", True),
        ("no stripes", {"base_colour": "Grey"}, "Puma Dotted Shirt", False),
        ("without a hood", {}, "a hooded top", True),
        ("no Puma", {"brand": "Puma"}, "", True),
        ("too long", {}, "a long shirt", False),  # less of it is not none of it
        ("in red", {"base_colour": "Red"}, "a red shirt", False),
    ],
)
def test_products_are_kept_out_by_tags_and_descriptions(wish, tags, description, out):
    assert unwanted(wish).in_product(tags, description) == out


def test_a_filter_names_all_values_that_are_meant():
    vocabulary = {"base_colour": ["Grey", "Navy Blue", "Red"], "brand": ["Puma"]}
    assert unwanted("neither blue nor grey, no Puma").of_tags(vocabulary) == {
        "base_colour": ["Grey", "Navy Blue"],
        "brand": ["Puma"],
    }


def test_queries_that_lean_towards_a_value_are_mirrored(encoder):
    queries = encoder.encode_texts(["a grey striped shirt", "a dress"])
    found = unwanted("no stripes")
    moved = found.avoided(queries, encoder.encode_texts)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.avoided(queries, encoder.encode_texts, ("pattern",)), queries)  # tags say it all
    words = [value.name for value in found.values]
    towards = encoder.encode_texts(words)[0]
    assert (moved @ towards <= queries @ towards + 1e-6).all()


@pytest.mark.parametrize("method", ["slerp", "text", "sum", "slots"])
@pytest.mark.parametrize("wish", ["anything but red", "i dont want red", "no red, blue", "not red"])
def test_no_method_finds_what_is_not_wanted(encoder, products, tmp_path, method, wish):
    photo = tmp_path / "ref.jpg"
    photo.write_bytes(jpeg((200, 20, 20), 3))
    options = {"vocabulary": {"colour": ["red", "blue", "green"]}} if method == "slots" else {}
    found = find(make_composer(method, encoder, **options), photo, wish, catalogue=products, top=10)
    assert found.hits and all(hit.tags.get("colour") != "red" for hit in found.hits)
    assert found.record()["steps"]["unwanted"] == ["red"]
