"""Tags read off photos: cosines, regions, thresholds, and their calibration against a search over all thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2.adapters.captioning.corpus import corpus_of_catalogue
from e2.adapters.tag_reader import NEVER, TagReader, least_threshold, several_valued, tag_vocabulary
from e2.data import open_catalogue
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf


class Words:
    """An encoder whose texts are given vectors."""

    def __init__(self, vectors: dict[str, list[float]], tags: tuple[str, ...] = (), taught: tuple[str, ...] | None = None):
        self.vectors, self.tags, self.loss = vectors, tags, {}
        self.taught = tags if taught is None else taught
        self.info = {"path": "words", "weights_sha256": "0"}

    def encode_texts(self, texts, progress=True):
        found = np.array([self.vectors[text] for text in texts], dtype=np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


VECTORS = {"red": [1, 0, 0], "blue": [0, 1, 0], "Nike": [0, 0, 1], "Puma": [1, 1, 0]}
VOCABULARY = {"colour": ["red", "blue"], "brand": ["Nike", "Puma"]}
IMAGES = np.array([[1, 0, 0], [0, 0.6, 0.8]], dtype=np.float32)


def test_vocabulary_counts_each_value_the_frequent_first(shop):
    catalogue = open_catalogue(str(shop), "train", tags=("season", "brand"))
    found = tag_vocabulary(catalogue)
    counts = {v: sum(catalogue[i].tags.get("brand") == v for i in range(len(catalogue))) for v in found["brand"]}
    assert list(found) == ["season", "brand"] and sorted(counts) == ["Levi's", "Nike", "Puma"]
    assert found["brand"] == sorted(counts, key=lambda v: (-counts[v], v))
    assert list(tag_vocabulary(catalogue, entities=["brand"])) == ["brand"]


SPELLED = ["nike", "Nike", "NIKE", "Nike", "Levi's", "LEVIS", "Levi's", "Levi's", "adidas"]


def test_spellings_of_one_value_are_one_in_the_most_frequent():
    shelf = Shelf([Product(str(i), (b"",), ("a",), {"brand": brand}) for i, brand in enumerate(SPELLED)], tags=("brand",))
    vocabulary = tag_vocabulary(shelf)
    assert vocabulary == {"brand": ["Levi's", "Nike", "adidas"]}
    corpus = corpus_of_catalogue(shelf, "full", vocabulary)
    assert corpus.tags[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 2]


def test_several_values_are_as_many_values():
    worn = ["casual | flat", "Casual", "flat | casual | boho", "boho | FLAT"]
    shelf = Shelf([Product(str(i), (b"",), ("a",), {"style": tag}) for i, tag in enumerate(worn)], tags=("style",))
    assert tag_vocabulary(shelf) == tag_vocabulary(shelf, shelf) == {"style": ["casual", "flat", "boho"]}
    assert several_valued(product.tags for product in shelf.products) == ("style",)
    assert several_valued([{"style": "casual", "brand": "Nike"}]) == ()


def labelled_photos(count, seed=0):
    """Photos and their colours, of red and blue those that they are near to, sometimes wrongly."""
    random = np.random.default_rng(seed)
    images = np.abs(random.normal(size=(count, 3))).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    own = images[:, :2] + random.normal(0, 0.15, (count, 2)) > 0.5
    values = [[value for value, has in zip(("Red", "blue"), row, strict=True) if has] for row in own]
    return images, [{"colour": " | ".join(found)} if found else {} for found in values]


def test_all_values_above_a_calibrated_threshold_are_read():
    images, tags = labelled_photos(2500)  # more than a chunk
    reader = TagReader(Words(VECTORS), VOCABULARY, several=["colour"])
    threshold = reader.calibrate(images, None, tags, precision=0.8)["colour"]
    known = np.array(["colour" in own for own in tags])
    cosines = reader.scores(images)["colour"]
    true = np.array([[value in own.get("colour", "").lower().split(" | ") for value in ("red", "blue")] for own in tags])
    precision = {t: true[known][cosines[known] >= t].mean() for t in np.unique(cosines[known])}
    assert threshold == pytest.approx(min(t for t, share in precision.items() if share >= 0.8))
    read = reader.read(images)
    for row, found in enumerate(read):
        near = [value for value, cosine in zip(("red", "blue"), cosines[row], strict=True) if cosine >= threshold]
        assert found.get("colour", "") == " | ".join(sorted(near, key=lambda v: -cosines[row][("red", "blue").index(v)]))
    assert sum(" | " in found.get("colour", "") for found in read) > 100
    score = reader.measure(images, None, tags)["colour"]
    made = cosines[known] >= threshold
    assert score == (made.sum(), (made & true[known]).sum(), true.sum())
    assert score.record()["precision"] == pytest.approx(80, abs=0.5) and 20 < score.record()["recall"] < 100
    apart = reader.cross_measured(images, None, tags, precision=0.8)["colour"]
    assert apart.labelled == true.sum() and abs(apart.record()["precision"] - 80) < 4
    assert reader.thresholds["colour"] == threshold
    assert reader.cross_measured(images[:1], None, [{"colour": "red"}]) == {}


def test_of_several_values_any_is_right_where_one_is_read():
    reader = TagReader(Words(VECTORS), VOCABULARY)
    reader.calibrate(IMAGES, None, [{"colour": "green | Red"}, {"colour": "red"}], precision=1.0)
    assert reader.read(IMAGES)[0]["colour"] == "red" and "colour" not in reader.read(IMAGES)[1]
    assert reader.measure(IMAGES, None, [{"colour": "green | Red"}, {"colour": "red"}])["colour"] == (1, 1, 3)


def test_a_reader_reads_one_spelling_and_is_right_by_any():
    words = Words(VECTORS | {"nike": [0, 0, 1], "NIKE": [0, 0, 1]})
    reader = TagReader(words, {"brand": ["Nike", "Puma", "nike", "NIKE"]})
    assert reader.vocabulary == {"brand": ["Nike", "Puma"]}
    assert reader.read_pooled(IMAGES, temperature=0.3, threshold=0.2) == [["Puma"], ["Nike", "Puma"]]
    assert reader.calibrate(IMAGES, None, [{"brand": "puma"}, {"brand": "NIKE"}], precision=1)["brand"] < 0.75


def test_vocabulary_without_tags_is_refused(shop):
    with pytest.raises(InputError, match="--tags"):
        tag_vocabulary(open_catalogue(str(shop), "train"))


def test_plain_encoder_compares_images_and_reads_above_thresholds():
    reader = TagReader(Words(VECTORS), VOCABULARY)
    scores = reader.scores(IMAGES)
    np.testing.assert_allclose(scores["colour"], [[1, 0], [0, 0.6]], atol=1e-6)
    np.testing.assert_allclose(scores["brand"], [[0, 0.5**0.5], [0.8, 0.6 * 0.5**0.5]], atol=1e-6)
    assert reader.read(IMAGES) == [{"colour": "red", "brand": "Puma"}, {"colour": "blue", "brand": "Nike"}]
    assert reader.read(IMAGES, thresholds={"colour": 0.7, "brand": 0.75}) == [{"colour": "red"}, {"brand": "Nike"}]


def test_regions_are_used_for_the_entities_that_have_one():
    reader = TagReader(Words(VECTORS, tags=("season", "colour")), VOCABULARY)
    regions = np.zeros((2, 2, 3), dtype=np.float32)
    regions[:, 1] = [[0, 1, 0], [1, 0, 0]]  # the colour's regions say the opposite of the images
    assert [found["colour"] for found in reader.read(IMAGES, regions)] == ["blue", "red"]
    assert [found["brand"] for found in reader.read(IMAGES, regions)] == ["Puma", "Nike"]  # no region: the image


def test_texts_are_centred_where_the_regions_were_trained_so():
    """Texts that share a corner: the region says how a value differs from the others, not where they all are."""
    corner = {"red": [0.2, 0, 5], "blue": [0, 0.2, 5], "Nike": [0.2, 0, 5], "Puma": [0, 0.2, 5]}
    encoder = Words(corner, tags=("colour",))
    regions = np.array([[[1, 0, 0]], [[0, 1, 0]]], dtype=np.float32)
    for centred, expected in ((True, [[1, -1], [-1, 1]]), (False, [[0.04, 0], [0, 0.04]])):
        encoder.loss = {"centre_tags": centred}
        reader = TagReader(encoder, VOCABULARY)
        np.testing.assert_allclose(
            reader.scores(IMAGES, regions)["colour"], np.array(expected) * (0.5**0.5 if centred else 1), atol=1e-3
        )
        np.testing.assert_array_equal(reader.compared["brand"], reader.values["brand"])  # not taught


def test_texts_are_centred_where_the_images_were_trained_so():
    encoder = Words({"red": [0.2, 0, 5], "blue": [0, 0.2, 5], "Nike": [0, 0, 1], "Puma": [1, 1, 0]}, taught=("colour",))
    encoder.loss = {"centre_tags": True}
    reader = TagReader(encoder, VOCABULARY)
    np.testing.assert_allclose(reader.compared["colour"], np.array([[1, -1, 0], [-1, 1, 0]]) * 0.5**0.5, atol=1e-3)
    np.testing.assert_array_equal(reader.compared["brand"], reader.values["brand"])


def test_prompt_names_tag_and_entity():
    words = {"colour: red": [1, 0, 0], "colour: blue": [0, 1, 0]}
    reader = TagReader(Words(words), {"colour": ["red", "blue"]}, prompt="{entity}: {tag}")
    assert reader.read(IMAGES) == [{"colour": "red"}, {"colour": "blue"}]


def test_pooled_reading_is_a_softmax_over_all_values():
    reader = TagReader(Words(VECTORS), VOCABULARY)
    cosines = np.concatenate(list(reader.scores(IMAGES).values()), axis=1).astype(np.float64)
    for temperature, threshold, top_k in ((0.3, 0.2, 3), (0.3, 0.2, 1), (0.01, 0.2, 3), (0.5, 0.0, 4)):
        weights = np.exp(cosines / temperature) / np.exp(cosines / temperature).sum(axis=1, keepdims=True)
        names = ["red", "blue", "Nike", "Puma"]
        expected = [
            [name for w, name in sorted(zip(row, names, strict=True), reverse=True)[:top_k] if w > threshold]
            for row in weights
        ]
        found = reader.read_pooled(IMAGES, top_k=top_k, threshold=threshold, temperature=temperature)
        assert [set(f) for f in found] == [set(e) for e in expected]


def test_calibration_reaches_the_precision_and_ignores_unlabelled_photos():
    random = np.random.default_rng(0)
    images = random.normal(size=(3000, 3)).astype(np.float32)  # more than a chunk
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    reader = TagReader(Words(VECTORS), VOCABULARY)
    nearest = [found["colour"] for found in reader.read(images)]
    sure = reader.scores(images)["colour"].max(axis=1)
    tags = [{"colour": value if s > random.random() else "green"} for value, s in zip(nearest, sure, strict=True)]
    reader.calibrate(images, None, [*tags[:2900], *[{}] * 100], precision=0.9)
    read = [(found, true) for found, true in zip(reader.read(images[:2900]), tags, strict=False) if "colour" in found]
    right = np.mean([found["colour"] == true["colour"] for found, true in read])
    assert 0.9 <= right < 0.93 and len(read) > 100
    with pytest.raises(InputError, match="precision 0"):
        reader.calibrate(images, None, tags, precision=0)
    with pytest.raises(InputError, match="no photo"):
        reader.calibrate(images[:2], None, [{}, {}])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30),
    st.sampled_from([0.3, 0.5, 0.75, 0.9, 1.0]),
)
def test_least_threshold_equals_trying_all(labelled, precision):
    scores, right = np.array([s for s, _ in labelled], float), np.array([r for _, r in labelled])
    good = [t for t in np.unique(scores) if right[scores >= t].mean() >= precision]
    assert least_threshold(scores, right, precision) == (min(good) if good else NEVER)


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(InputError, match="values of brand"):
        TagReader(Words(VECTORS), {"brand": []})
