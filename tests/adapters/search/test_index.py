"""Both engines against NumPy: searches, filters, pages, counts, changes."""

import numpy as np
import pytest

from e2.adapters.search.engines import create_store, open_store
from e2.adapters.search.filters import equals, quoted
from e2.adapters.search.index import MOST, ProductIndex, open_index
from e2.errors import InputError
from tests.adapters.search.conftest import ENTITIES, WORDS, entry, manifest, unit


def expected(entries, query, keep=lambda tags: True):
    """Ids, best first."""
    kept = [e for e in entries if keep(e.tags)]
    scores = np.stack([e.vector for e in kept]) @ query if kept else []
    return [kept[i].product_id for i in np.argsort(-np.asarray(scores))]


def ids(hits):
    return [hit.product_id for hit in hits]


def test_search_is_exact(filled):
    index, entries = filled
    queries = unit(5, seed=1)
    found = index.search(3 * queries, 7)  # of any length
    for hits, query in zip(found, queries, strict=True):
        assert ids(hits) == expected(entries, query)[:7]
        by_id = {e.product_id: e for e in entries}
        for hit in hits:
            of = by_id[hit.product_id]
            assert (hit.caption, hit.tags) == (of.caption, dict(of.tags))
            assert hit.score == pytest.approx(float(of.vector @ query), abs=1e-5)
    assert len(index.search(queries[0], 1000)[0]) == len(index) == len(entries)


def test_pages_join_to_the_whole(filled):
    index, _ = filled
    query = unit(1, seed=2)
    pages = [index.search(query, 8, offset=start)[0] for start in range(0, 64, 8)]
    assert [hit for page in pages for hit in ids(page)] == ids(index.search(query, 100)[0])


def test_filters(filled):
    index, entries = filled
    query = unit(1, seed=3)
    cases = [
        (equals({name: word}), lambda tags, name=name, word=word: tags.get(name, "") == word)
        for name, words in WORDS.items()
        for word in words
    ]
    cases += [
        ('brand != "Nike"', lambda tags: tags.get("brand", "") != "Nike"),
        ("not (colour in ['red', 'green'])", lambda tags: tags.get("colour", "") not in ("red", "green")),
        (
            f'brand == {quoted(WORDS["brand"][2])} or (colour == "red" and not "line name" == "a")',
            lambda tags: tags.get("brand") == 'Say "Hi"' or (tags.get("colour") == "red" and tags.get("line name") != "a"),
        ),
        ('colour == "red" and colour == "blue"', lambda tags: False),
    ]
    for where, keep in cases:
        assert ids(index.search(query, 100, where)[0]) == expected(entries, query[0], keep), where
        for entity, counts in index.facets(where).items():
            values = [e.tags[entity] for e in entries if keep(e.tags) and entity in e.tags]
            assert counts == {value: values.count(value) for value in values}, where
            assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_products_by_id(filled):
    index, entries = filled
    asked = ["id 3", "none such", "id 1"]
    assert [(hit.product_id, hit.caption) for hit in index.get(asked)] == [
        ("id 3", entries[3].caption),
        ("id 1", entries[1].caption),
    ]
    np.testing.assert_allclose(index.vectors(["id 3", "id 1"]), [entries[3].vector, entries[1].vector], atol=1e-6)
    assert index.thumbnail("id 3") == entries[3].thumbnail
    assert index.thumbnail("../../etc/passwd") is None and index.get([]) == []
    with pytest.raises(InputError, match="no product 'none such'"):
        index.vectors(asked)


def test_changes_are_seen_and_last(filled, place):
    index, entries = filled
    news = unit(3, seed=9)
    index.store.write([entry(0, news[0]), entry(100, news[1], tags={"colour": "pink"}), entry(101, news[2])])
    assert index.delete(["id 7", "id 8", "id 7", "none such"]) == 2
    assert ids(index.search(news, 1)[0]) == ["id 0"] and ids(index.search(news[1], 1)[0]) == ["id 100"]
    assert len(index) == index.manifest.count == 60 - 2 + 2
    assert index.facets('colour == "pink"')["colour"] == {"pink": 1}
    assert index.thumbnail("id 7") is None and index.get(["id 7"]) == []
    everything = ids(index.search(news[0], 1000)[0])
    assert len(everything) == len(set(everything)) == 60 and "id 8" not in everything
    index.close()
    again = open_index(place)
    assert ids(again.search(news[0], 1000)[0]) == everything
    again.close()


def test_an_empty_index_finds_nothing(place):
    index = ProductIndex(create_store(place, manifest()))
    assert index.search(unit(1), 5) == [[]] and index.facets() == {name: {} for name in ENTITIES}
    assert len(index) == 0 and not index.manifest.complete
    index.close()


def test_what_is_refused(filled, place):
    index, _ = filled
    for vectors, options, message in (
        (unit(1, dim=7), {}, "width 16"),
        (np.full((1, 16), np.nan), {}, "not finite"),
        (unit(1), {"k": 0}, "at least one"),
        (unit(1), {"k": 10, "offset": MOST}, "up to the 10,000th"),
        (unit(1), {"offset": -1}, "at least one"),
        (unit(1), {"where": "brand"}, "expected =="),
    ):
        with pytest.raises(InputError, match=message):
            index.search(vectors, **options)
    index.close()
    with pytest.raises(InputError, match="--overwrite"):
        create_store(place, manifest())
    store = create_store(place, manifest(), overwrite=True)
    assert len(store) == 0 and not store.manifest.complete
    store.close()


def test_no_index_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    store = create_store(str(tmp_path / "damaged"), manifest())
    (store.build / "products.sqlite").write_bytes(b"not a database, but long enough to be read as one" * 50)
    for name, message in (("none", "is not an index"), ("file", "is not an index"), ("damaged", "cannot be read")):
        with pytest.raises(InputError, match=message):
            open_store(str(tmp_path / name))
    (tmp_path / "damaged" / "index.json").write_text("{}")
    with pytest.raises(InputError, match="was not written by e2 index build"):
        open_store(str(tmp_path / "damaged"))
    with pytest.raises(InputError, match="is not a folder; choose a new folder"):
        create_store(str(tmp_path / "file"), manifest())
    assert (tmp_path / "file").read_text() == "x"
