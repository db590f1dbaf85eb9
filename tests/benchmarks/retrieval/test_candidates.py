"""Sampled lists: their rules, their seeds, and their files."""

import numpy as np
import pytest

from e2.benchmarks.retrieval.candidates import NEGATIVES, CandidateGallery, draw_candidates, load_candidates
from e2.errors import InputError


@pytest.fixture
def gallery() -> CandidateGallery:
    """150 shirts and 40 bags; odd products have two images, every third two texts."""
    images = np.repeat(np.arange(190), 1 + np.arange(190) % 2)
    texts = np.repeat(np.arange(190), 1 + (np.arange(190) % 3 == 0))
    return CandidateGallery(images, texts, ["shirt"] * 150 + ["bag"] * 40)


def sides(gallery, lists):
    yield lists.image_queries, lists.text_candidates, gallery.image_products, gallery.text_products
    yield lists.text_queries, lists.image_candidates, gallery.text_products, gallery.image_products


def test_fame_vil_lists_are_full_and_filled_from_other_categories_only_where_needed(gallery):
    lists = draw_candidates(gallery, rule="fame-vil", runs=2)
    for queries, candidates, query_products, gallery_products in sides(gallery, lists):
        assert candidates.shape == (2, len(query_products), 1 + NEGATIVES) and candidates.min() >= 0
        for query, line in zip(queries.reshape(-1), candidates.reshape(-1, 1 + NEGATIVES), strict=True):
            product, products = query_products[query], gallery_products[line]
            assert products[0] == product and (products[1:] != product).all()
            assert len(set(line)) == len(line)
            same = sum(gallery.categories[p] == gallery.categories[product] for p in products[1:])
            others_of_category = sum(
                gallery.categories[p] == gallery.categories[product] and p != product for p in gallery_products
            )
            assert same == min(NEGATIVES, others_of_category)


def test_authors_lists_hold_distinct_products_of_the_category_without_fill(gallery):
    lists = draw_candidates(gallery, rule="authors", runs=1)
    for queries, candidates, query_products, gallery_products in sides(gallery, lists):
        assert len(set(query_products[queries[0]])) == queries.shape[1] == 190  # one query per product
        for query, line in zip(queries[0], candidates[0], strict=True):
            products = gallery_products[line[line >= 0]]
            assert len(set(products)) == len(products) == (101 if query_products[query] < 150 else 40)
            assert {gallery.categories[p] for p in products} == {gallery.categories[query_products[query]]}


def test_any_draws_from_the_whole_split(gallery):
    """190 products, 40 of them bags: a list of 100 others holds about 40 / 190 bags, whatever the query is."""
    lists = draw_candidates(gallery, rule="any", runs=2)
    for queries, candidates, query_products, gallery_products in sides(gallery, lists):
        assert candidates.shape == (2, len(query_products), 1 + NEGATIVES) and candidates.min() >= 0
        negatives = gallery_products[candidates[..., 1:]]
        assert (gallery_products[candidates[..., 0]] == query_products[queries]).all()
        assert (negatives != query_products[queries][..., None]).all()
        share = np.mean(gallery_products >= 150)
        for of_kind in (negatives[query_products[queries] < 150], negatives[query_products[queries] >= 150]):
            assert abs((of_kind >= 150).mean() - share) < 0.02


def test_at_most_a_thousand_queries_and_each_run_draws_anew():
    products = np.arange(1200)
    lists = draw_candidates(CandidateGallery(products, products, ["shirt"] * 1200), runs=2)
    assert lists.image_queries.shape == (2, 1000)
    assert len(set(lists.image_queries[0])) == 1000
    assert (lists.image_queries[0] != lists.image_queries[1]).any()


def test_same_seed_same_lists_and_a_file_brings_them_back(gallery, tmp_path):
    lists = draw_candidates(gallery, seed=3, runs=2)
    assert not np.array_equal(lists.text_candidates, draw_candidates(gallery, seed=4, runs=2).text_candidates)
    lists.save(tmp_path / "candidates.npz")
    for again in (draw_candidates(gallery, seed=3, runs=2), load_candidates(tmp_path / "candidates.npz", gallery)):
        assert again.rule == "fame-vil"
        for name in ("image_queries", "text_candidates", "text_queries", "image_candidates"):
            np.testing.assert_array_equal(getattr(again, name), getattr(lists, name))


def test_lists_of_another_catalogue_and_other_files_are_refused(gallery, tmp_path):
    draw_candidates(gallery, runs=1).save(tmp_path / "candidates.npz")
    other = CandidateGallery(gallery.image_products, gallery.text_products, ["shirt"] * 190)
    with pytest.raises(InputError, match="another catalogue"):
        load_candidates(tmp_path / "candidates.npz", other)
    (tmp_path / "text.npz").write_text("no lists")
    for name in ("text.npz", "absent.npz"):
        with pytest.raises(InputError, match="no candidate lists"):
            load_candidates(tmp_path / name, gallery)


def test_unknown_rule_and_too_small_a_split_are_refused():
    products = np.arange(50)
    small = CandidateGallery(products, products, ["shirt"] * 50)
    with pytest.raises(InputError, match="fame-vil, authors, any"):
        draw_candidates(small, rule="kaleido")
    with pytest.raises(InputError, match="the split has 49"):
        draw_candidates(small)
