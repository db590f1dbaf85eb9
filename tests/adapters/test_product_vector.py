"""One vector a product: the same by every way to it, and that of a naive mean."""

import numpy as np
import pytest

from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.adapters.search.build import Written, build_index, update_index
from e2.adapters.search.index import open_index
from e2.adapters.search.memory import MemoryStore
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, png

RULES = ("photos", "first", "photos+text=0.1", "first+text=0.5")
PHOTOS = (("red", "white", "red"), ("blue",), ("green", "green"), ("black", "red"))
WORDS = ("white", "blue", "red", "green")


@pytest.fixture
def shelf() -> Shelf:
    made = zip("abcd", PHOTOS, WORDS, strict=True)
    return Shelf([Product(name, tuple(map(png, photos)), (text, "second")) for name, photos, text in made])


def naive(rule: str) -> np.ndarray:
    """Vectors (4, 5) of the shelf by a rule, word by word of its definition."""
    encoder, found = colour_encoder(), []
    for photos, words in zip(PHOTOS, WORDS, strict=True):
        used = photos[:1] if rule.startswith("first") else photos
        vector = sum(encoder.encode_images([png(photo)], progress=False)[0] for photo in used)
        vector = vector / np.linalg.norm(vector)
        share = float(rule.partition("=")[2] or 0)
        vector = (1 - share) * vector + share * encoder.encode_texts([words], progress=False)[0]
        found.append(vector / np.linalg.norm(vector))
    return np.stack(found)


def in_index(place) -> np.ndarray:
    index = open_index(place)
    vectors = index.vectors(list("abcd"))
    index.close()
    return vectors


@pytest.mark.parametrize("rule", RULES)
def test_every_way_leads_to_the_naive_mean(shelf, tmp_path, rule):
    encoder, chosen, wanted = colour_encoder(), ProductVector.parse(rule), naive(rule)
    assert str(chosen) == rule
    np.testing.assert_allclose(chosen.encode(encoder, shelf, progress=False), wanted, atol=1e-6)
    np.testing.assert_allclose(chosen.encode(encoder, shelf, [2, 0], progress=False), wanted[[2, 0]], atol=1e-6)
    build_index(encoder, shelf, tmp_path / "i", rule=chosen, progress=False)
    np.testing.assert_allclose(in_index(tmp_path / "i"), wanted, atol=1e-3)  # kept in half precision
    for kinds in (("image", "text"), ("product",), ("image", "text", "product")):
        features = tmp_path / "-".join(kinds)
        manifest = write_embeddings(encoder, shelf, features, what=kinds, rule=chosen, shard_size=3, progress=False)
        assert manifest["rows"].get("product", 4) == 4 and set(manifest["rows"]) == set(kinds)
        store = MemoryStore(encoder, index=features, rule=chosen)
        np.testing.assert_allclose(store._vectors[0], wanted, atol=1e-6)
        assert store._vectors[1] == list("abcd")
        built = tmp_path / f"of-{features.name}"
        build_index(encoder, shelf, built, features=features, rule=chosen, progress=False)
        np.testing.assert_array_equal(in_index(built), in_index(tmp_path / "i"))
    np.testing.assert_allclose(MemoryStore(encoder, shelf, rule=chosen)._vectors[0], wanted, atol=1e-6)


def test_an_index_keeps_its_rule(shelf, tmp_path):
    encoder, first = colour_encoder(), ProductVector.parse("first")
    build_index(encoder, shelf, tmp_path / "i", rule=first, progress=False)
    assert open_index(tmp_path / "i").manifest.product_vector == "first"
    with pytest.raises(InputError, match="by the rule first, not photos"):
        build_index(encoder, shelf, tmp_path / "i", resume=True, progress=False)
    shelf.products[0] = Product("a", (png("red"), png("blue")), ("white",))
    assert update_index(encoder, shelf, tmp_path / "i", progress=False) == Written(0, 4)  # its first photo is the same
    build_index(encoder, shelf, tmp_path / "i", overwrite=True, progress=False)
    shelf.products[0] = Product("a", (png("red"), png("green")), ("white",))
    assert update_index(encoder, shelf, tmp_path / "i", progress=False) == Written(1, 3)
    np.testing.assert_allclose(in_index(tmp_path / "i"), ALL_PHOTOS.encode(encoder, shelf, progress=False), atol=1e-3)


@pytest.mark.parametrize("rule", ["", "mean", "photos+text=1", "photos+text=-0.1", "first+text=x"])
def test_another_rule_is_refused(rule):
    with pytest.raises(InputError, match=r"write photos .* first .* e\.g\. photos\+text=0\.1"):
        ProductVector.parse(rule)


def test_features_that_lack_what_the_rule_needs_are_refused(shelf, tmp_path):
    encoder = colour_encoder()
    write_embeddings(encoder, shelf, tmp_path / "products", what=("product",), progress=False)
    write_embeddings(encoder, shelf, tmp_path / "photos", what=("image",), progress=False)
    write_embeddings(encoder, shelf, tmp_path / "full", text="full", progress=False)
    for name, message in (
        ("products", r"by the rule photos, not photos\+text=0.1"),
        ("photos", "holds no text vectors"),
        ("full", "embed again with --text caption"),
    ):
        with pytest.raises(InputError, match=message):
            build_index(encoder, shelf, tmp_path / "i", features=tmp_path / name, rule=ProductVector(text=0.1), progress=False)
