"""One vector a product: the same by every way to it, and that of a naive mean."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from e2.adapters.embeddings.read import StoredVectors
from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.adapters.search.build import Written, build_index, update_index
from e2.adapters.search.index import open_index
from e2.adapters.search.memory import MemoryStore
from e2.benchmarks.retrieval.benchmark import evaluate_qrels
from e2.benchmarks.retrieval.evaluate import evaluate_retrieval
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, png
from tests.command import run_command
from tests.conftest import jpeg

RULES = ("photos", "first", "photos+text=0.1", "first+text=0.5", "photos+views", "first+views+text=0.5")
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
    build_index(encoder, shelf, tmp_path / "i", product_vector=chosen, progress=False)
    np.testing.assert_allclose(in_index(tmp_path / "i"), wanted, atol=1e-3)  # kept in half precision
    for kinds in (("image", "text"), ("product",), ("image", "text", "product")):
        features = tmp_path / "-".join(kinds)
        manifest = write_embeddings(encoder, shelf, features, what=kinds, product_vector=chosen, shard_size=3, progress=False)
        assert manifest["rows"].get("product", 4) == 4 and set(manifest["rows"]) == set(kinds)
        if chosen.views and "product" not in kinds:
            with pytest.raises(InputError, match=r"holds vectors of whole photos.*--what product"):
                _ = MemoryStore(encoder, index=features, product_vector=chosen).vectors
            continue
        store = MemoryStore(encoder, index=features, product_vector=chosen)
        np.testing.assert_allclose(store.vectors[0], wanted, atol=1e-6)
        assert store.vectors[1] == list("abcd")
        built = tmp_path / f"of-{features.name}"
        build_index(encoder, shelf, built, features=features, product_vector=chosen, progress=False)
        np.testing.assert_array_equal(in_index(built), in_index(tmp_path / "i"))
    np.testing.assert_allclose(MemoryStore(encoder, shelf, product_vector=chosen).vectors[0], wanted, atol=1e-6)


def test_three_views_of_a_photo(tmp_path):
    """The encoder sees the first pixel: red in the photo, blue in its mirror image, green in its middle."""
    photo = Image.new("RGB", (20, 20), "green")
    photo.putpixel((0, 0), (255, 0, 0))
    photo.putpixel((19, 0), (0, 0, 255))
    photo.putpixel((1, 1), (0, 255, 0))
    file = io.BytesIO()
    photo.save(file, "PNG")
    shelf = Shelf([Product("a", (file.getvalue(),), ("red",)), Product("b", (png("red"),), ("blue",))])
    encoder, rule = colour_encoder(), ProductVector.parse("photos+views")
    wanted = np.array([[3**-0.5, 3**-0.5, 3**-0.5, 0, 0], [1, 0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(rule.encode(encoder, shelf, progress=False), wanted, atol=1e-6)
    write_embeddings(encoder, shelf, tmp_path / "e", what=("image", "product"), product_vector=rule, progress=False)
    np.testing.assert_allclose(MemoryStore(encoder, index=tmp_path / "e", product_vector=rule).vectors[0], wanted, atol=1e-6)
    np.testing.assert_allclose(next(StoredVectors(tmp_path / "e", encoder, "image").batches())[1], np.eye(5)[[0, 0]])


def test_an_index_keeps_its_rule(shelf, tmp_path):
    encoder, first = colour_encoder(), ProductVector.parse("first")
    build_index(encoder, shelf, tmp_path / "i", product_vector=first, progress=False)
    assert open_index(tmp_path / "i").manifest.product_vector == "first"
    with pytest.raises(InputError, match="by the rule first, not photos"):
        build_index(encoder, shelf, tmp_path / "i", resume=True, progress=False)
    shelf.products[0] = Product("a", (png("red"), png("blue")), ("white",))
    assert update_index(encoder, shelf, tmp_path / "i", progress=False) == Written(0, 4)  # its first photo is the same
    build_index(encoder, shelf, tmp_path / "i", overwrite=True, progress=False)
    shelf.products[0] = Product("a", (png("red"), png("green")), ("white",))
    assert update_index(encoder, shelf, tmp_path / "i", progress=False) == Written(1, 3)
    np.testing.assert_allclose(in_index(tmp_path / "i"), ALL_PHOTOS.encode(encoder, shelf, progress=False), atol=1e-3)


@pytest.mark.parametrize(
    "rule", ["", "mean", "photos+text=1", "photos+text=-0.1", "first+text=x", "views", "photos+views+views"]
)
def test_another_rule_is_refused(rule):
    with pytest.raises(InputError, match=r"write photos .* first .*photos\+views.* e\.g\. photos\+text=0\.1"):
        ProductVector.parse(rule)


def test_features_that_lack_what_the_rule_needs_are_refused(shelf, tmp_path):
    encoder, rule = colour_encoder(), ProductVector(text=0.1)
    write_embeddings(encoder, shelf, tmp_path / "products", what=("product",), progress=False)
    write_embeddings(encoder, shelf, tmp_path / "photos", what=("image",), progress=False)
    write_embeddings(encoder, shelf, tmp_path / "full", text="full", progress=False)
    for name, message in (
        ("products", r"by the rule photos, not photos\+text=0.1"),
        ("photos", "holds no text vectors"),
        ("full", "embed again with --text caption"),
    ):
        with pytest.raises(InputError, match=message):
            build_index(encoder, shelf, tmp_path / "i", features=tmp_path / name, product_vector=rule, progress=False)


def test_evaluations_search_one_vector_a_product(tmp_path):
    """The back of the red tee is blue, and nobody's photo is white."""
    products = [("red", "red", "blue"), ("blue",), ("green",)]
    named = zip("cba", products, ("red", "blue", "white"), strict=True)
    shelf, encoder = Shelf([Product(name, tuple(map(png, look)), (text,)) for name, look, text in named]), colour_encoder()
    record = evaluate_retrieval([encoder], shelf, product_vector=ALL_PHOTOS, resamples=10).results[0]
    assert (record["n_images"], record["product_vector"]) == (3, "photos")
    assert evaluate_retrieval([encoder], shelf, resamples=10).results[0]["metrics"]["image_to_text_R@1"] == pytest.approx(
        200 / 3
    )
    assert record["metrics"]["image_to_text_R@1"] == pytest.approx(100 * (2 + 1 / 3) / 3)  # green is as far from all texts
    with pytest.raises(InputError, match="by the products' own texts"):
        evaluate_retrieval([encoder], shelf, product_vector=ProductVector(text=0.1))
    pytest.importorskip("ir_measures")
    (tmp_path / "judged.json").write_text(json.dumps({"red": {"c": 1}, "white": {"a": 1}}))
    for rule, found in (("first", 50), ("photos", 50), ("photos+text=0.1", 100)):
        judged = evaluate_qrels([encoder], shelf, [tmp_path / "judged.json"], product_vector=ProductVector.parse(rule))
        assert judged.results[0]["metrics"]["R@1"] == pytest.approx(found)


def test_the_commands(tiny, tmp_path):
    """A shop's export with two photos a product, all the way."""
    rows = []
    for number in range(8):
        for view in range(2):
            (tmp_path / f"{number}-{view}.jpg").write_bytes(jpeg((30 * number, 90 * view, 200), number, size=80))
            told = f"Tee {number},Brand {number % 2},Colour {number // 4}" if not view else ",,"
            rows.append(f"{number},{told},{number}-{view}.jpg\n")
    (tmp_path / "s.csv").write_text("Handle,Title,Vendor,Type,Image Src\n" + "".join(rows))
    data = ["--data", f"shopify:{tmp_path / 's.csv'}", "--tags", "brand,product_type"]
    options, clip = ["--device", "cpu", "--workers", "0"], f"open_clip:{tiny}"
    by_rule = ["--product-vector", "photos+text=0.2"]
    features = ["--features", tmp_path / "e"]

    def line(*words, status=0) -> str:
        answer = run_command(*words)
        assert answer.status == status, answer.err
        return answer.out if not status else answer.line

    line("embed", "--model", clip, *data, "--what", "product", *by_rule, "--out", tmp_path / "e", *options)
    line("index", "build", "--encoder", clip, *data, *by_rule, "--out", tmp_path / "i", *features, *options)
    line("index", "build", "--encoder", clip, *data, *by_rule, "--out", tmp_path / "j", *options)
    told = json.loads(line("index", "info", "--index", tmp_path / "j", "--json"))
    assert (told["count"], told["product_vector"]) == (8, "photos+text=0.2")
    found = [line("index", "search", "--index", tmp_path / name, "--text", "a tee", "--device", "cpu") for name in "ij"]
    wish = ["--image", tmp_path / "3-1.jpg", "--text", "nicer", "--encoder", clip, "--method", "sum", *options]
    searched = [line("compose", "search", *wish, *by_rule, *given) for given in (data, features)]
    assert found[0] == found[1] and len({ids_in(text) for text in searched}) == 1
    measured = ["evaluate", "retrieval", "--model", clip, *data, "--split", "s", "--json", *options]
    of_photos, of_products = (
        json.loads(line(*measured, *more))["results"][0] for more in ([], ["--product-vector", "photos"])
    )
    assert (of_photos["n_images"], of_products["n_images"]) == (16, 8) and of_products["product_vector"] == "photos"
    assert "by the products' own texts" in line(*measured, *by_rule, status=2)
    swaps = ["evaluate", "composed", "--model", clip, *data, "--split", "s", "--keep", "product_type", "--swap", "brand"]
    record = json.loads(line(*swaps, "--size", "4", *by_rule, "--method", "sum", "--json", *options))["results"][0]
    assert record["data"]["product_vector"] == "photos+text=0.2"
    assert "searches descriptions" in line(*swaps, *by_rule, "--target", "text", *options, status=2)


def ids_in(table: str) -> tuple[str, ...]:
    return tuple(re.findall(r"│ +(\d) +│", table))
