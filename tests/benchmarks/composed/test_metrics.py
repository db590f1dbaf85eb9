"""Ranks, recalls and mAP of composed retrieval against recorded outputs of SEARLE, Pic2Word and CIRCO, and against sorting."""

import itertools
import json

import numpy as np
import pytest
import torch

from e2.benchmarks.composed.metrics import best_rows, expected_average_precision, find
from e2.errors import InputError
from e2.ranks import candidate_ranks
from tests.shared import FIXTURES

FOLDER = FIXTURES / "composed"
CATEGORIES = ("dress", "shirt", "toptee")


@pytest.fixture(scope="module")
def fashioniq():
    return np.load(FOLDER / "a_fashioniq_metrics.npz"), json.loads((FOLDER / "a_fashioniq_expected.json").read_text())


@pytest.fixture(scope="module")
def cirr_circo():
    return np.load(FOLDER / "g_cirr_circo.npz"), json.loads((FOLDER / "g_cirr_circo_expected.json").read_text())


def found_in(arrays, key, rows=None, exclude=False):
    """The stored queries of one category, over the whole gallery or over some of its rows."""
    part = {name: arrays[f"{key}.{name}"] for name in ("gallery", "query", "ref_idx", "tgt_idx")}
    rows = np.arange(len(part["gallery"])) if rows is None else rows
    local = np.full(len(part["gallery"]), -1)
    local[rows] = np.arange(len(rows))
    answers = [np.array([local[target]]) for target in part["tgt_idx"]]
    excluded = local[part["ref_idx"]] if exclude else None
    return find(torch.tensor(part["query"]), torch.tensor(part["gallery"][rows]), answers, excluded=excluded)


def percent(found, ks):
    return (100 * found.hits(ks).mean(axis=0)).tolist()


@pytest.mark.parametrize("category", CATEGORIES)
def test_fixture_fashioniq_recalls_are_those_of_the_references(fashioniq, category):
    arrays, expected = fashioniq
    key = f"{category}_plain"
    found, wanted = found_in(arrays, key), expected[key]
    assert percent(found, [10, 50]) == pytest.approx(list(wanted["reference_SEARLE"].values()), abs=1e-4)
    ks = [1, 5, 10, 50, 100]
    assert percent(found, ks) == pytest.approx([wanted["reference_Pic2Word"][f"R@{k}"] for k in ks], abs=1e-4)
    without = found_in(arrays, key, exclude=True)
    other = wanted["reference_image_excluded(not the protocol)"]
    assert percent(without, ks) == pytest.approx([other[f"recall_R@{k}"] for k in ks], abs=1e-4)
    union = np.unique(np.concatenate([arrays[f"{key}.ref_idx"], arrays[f"{key}.tgt_idx"]]))
    val = wanted["VAL_gallery(union of candidates and targets)"]
    assert len(union) == val["n_gallery"]
    assert percent(found_in(arrays, key, rows=union), ks) == pytest.approx([val[f"R@{k}"] for k in ks], abs=1e-4)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("kind", ["plain", "ties"])
def test_fixture_fashioniq_ranks_and_tie_bounds(fashioniq, category, kind):
    arrays, expected = fashioniq
    key = f"{category}_{kind}"
    found = found_in(arrays, key)
    assert found.better.tolist() == arrays[f"{key}.rank_optimistic"].tolist()
    assert found.better_or_equal.tolist() == arrays[f"{key}.rank_pessimistic"].tolist()
    for k in (10, 50):
        low, high = (percent(found.settled(bound), [k])[0] for bound in ("pessimistic", "optimistic"))
        assert [low, high] == pytest.approx(expected[key][f"R@{k}_bounds"], abs=1e-4)
        assert low <= percent(found, [k])[0] <= high
        assert low - 1e-4 <= expected[key]["reference_SEARLE"][f"fiq_recall_at{k}"] <= high + 1e-4


def test_fixture_cirr_recalls_and_subset_recalls(cirr_circo):
    arrays, expected = cirr_circo
    query, gallery = torch.tensor(arrays["cirr_query"]), torch.tensor(arrays["cirr_gallery"])
    answers = [np.array([target]) for target in arrays["cirr_tgt"]]
    found = find(query, gallery, answers, excluded=arrays["cirr_ref"])
    wanted = expected["cirr_SEARLE"]
    assert percent(found, [1, 5, 10, 50]) == pytest.approx([wanted[f"cirr_recall_at{k}"] for k in (1, 5, 10, 50)], abs=1e-4)
    assert percent(found, [100])[0] == pytest.approx(expected["cirr_Pic2Word"]["recall_R@100"], abs=1e-4)
    place = {name: row for row, name in enumerate(arrays["cirr_names"])}
    lists = []
    for members, reference, target in zip(arrays["cirr_members"], arrays["cirr_ref"], arrays["cirr_tgt"], strict=True):
        rows = [place[name] for name in members]
        lists.append([target, *(row for row in rows if row not in (target, reference))])
    ranks = candidate_ranks(query, gallery, torch.arange(len(query)), torch.tensor(np.array(lists)))
    subset = (100 * ranks.hits([1, 2, 3]).mean(dim=0)).tolist()
    assert subset == pytest.approx([wanted[f"cirr_group_recall_at{k}"] for k in (1, 2, 3)], abs=1e-4)
    top = best_rows(query, gallery, 50, excluded=arrays["cirr_ref"])
    for number, names in expected["cirr_testoutput_first3"].items():
        assert arrays["cirr_names"][top[int(number)]].tolist() == names


def test_fixture_circo_map_and_recall(cirr_circo):
    arrays, expected = cirr_circo
    query, gallery = torch.tensor(arrays["circo_query"]), torch.tensor(arrays["circo_gallery"])
    answers = [row[row >= 0] for row in arrays["circo_gt"]]
    ks = [5, 10, 25, 50]
    precision = find(query, gallery, answers).average_precision(ks).mean(axis=0)
    assert precision.tolist() == pytest.approx([expected["circo_official_fraction"]["mAP"][str(k)] for k in ks], abs=1e-6)
    recall = find(query, gallery, [row[:1] for row in answers]).hits(ks).mean(axis=0)
    assert recall.tolist() == pytest.approx([expected["circo_official_fraction"]["recall"][str(k)] for k in ks], abs=1e-6)


def test_fixture_circo_map_of_given_lists(cirr_circo):
    arrays, expected = cirr_circo
    query, better = [], []
    for number, (predicted, truth) in enumerate(zip(arrays["circo_random_pred"], arrays["circo_gt"], strict=True)):
        right = set(truth[truth >= 0].tolist())
        places = [place for place, row in enumerate(predicted.tolist()) if row in right]
        places += [10_000] * (len(right) - len(places))  # not among the 50
        query += [number] * len(places)
        better += [place - before for before, place in enumerate(places)]
    ks = [5, 10, 25, 50]
    precision = expected_average_precision(np.array(query), np.array(better), np.array(better), ks).mean(axis=0)
    wanted = expected["circo_random_pred_official_fraction"]["mAP"]
    assert precision.tolist() == pytest.approx([wanted[str(k)] for k in ks], abs=1e-6)


def naive_precision(order: list[bool], k: int) -> float:
    hits = [sum(order[: place + 1]) / (place + 1) for place, right in enumerate(order[:k]) if right]
    return sum(hits) / min(sum(order), k)


@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_expected_map_is_the_mean_over_all_orders_of_ties(k):
    # Scores 3 | 2 2 2 2 | 1 1 : right are one of the first tie, another of it, and one of the last.
    scores, right = [3, 2, 2, 2, 2, 1, 1], [False, True, False, True, False, False, True]
    orders = [
        [right[i] for i in (0, *first, *last)]
        for first in itertools.permutations((1, 2, 3, 4))
        for last in itertools.permutations((5, 6))
    ]
    gallery = torch.tensor([[s / 10, (1 - (s / 10) ** 2) ** 0.5] for s in scores])
    found = find(torch.tensor([[1.0, 0.0]]), gallery, [np.flatnonzero(right)])
    assert found.average_precision([k])[0, 0] == pytest.approx(np.mean([naive_precision(order, k) for order in orders]))
    optimistic = max(naive_precision(order, k) for order in orders)
    pessimistic = min(naive_precision(order, k) for order in orders)
    assert found.settled("optimistic").average_precision([k])[0, 0] == pytest.approx(optimistic)
    assert found.settled("pessimistic").average_precision([k])[0, 0] == pytest.approx(pessimistic)


def test_many_right_answers_against_plain_sorting(monkeypatch):
    rng = np.random.default_rng(0)
    query, gallery = rng.normal(size=(23, 8)), rng.normal(size=(120, 8))
    answers = [rng.choice(120, rng.integers(1, 30), replace=False) for _ in query]
    excluded = np.array([rng.choice(np.setdiff1d(np.arange(120), mine)) if i % 3 else -1 for i, mine in enumerate(answers)])
    monkeypatch.setattr("e2.benchmarks.composed.metrics.BLOCK_SCORES", 500)  # several blocks
    found = find(torch.tensor(query), torch.tensor(gallery), answers, excluded=excluded, top=20)
    cosine = query @ gallery.T / np.linalg.norm(query, axis=1)[:, None] / np.linalg.norm(gallery, axis=1)
    for i, mine in enumerate(answers):
        order = [row for row in np.argsort(-cosine[i]) if row != excluded[i]]
        relevant = [row in set(mine.tolist()) for row in order]
        assert found.top[i].tolist() == order[:20]
        assert found.hits([5])[i, 0] == any(relevant[:5])
        assert found.average_precision([10, 200])[i] == pytest.approx([naive_precision(relevant, k) for k in (10, 200)])


def test_a_short_gallery_shows_no_excluded_row():
    top = best_rows(torch.eye(3), torch.eye(3), 5, excluded=np.array([0, -1, 2]))
    assert top[0].tolist().count(-1) == 3 and 0 not in top[0]
    assert top[1, 0] == 1 and (top[1] == -1).sum() == 2


@pytest.mark.parametrize(
    ("answers", "excluded", "message"),
    [
        ([[]], None, "query 0 has no right answer"),
        ([[7]], None, "in the gallery of 3"),
        ([[1]], [1], "its own reference as a right answer"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(answers, excluded, message):
    with pytest.raises(InputError, match=message):
        excluded = None if excluded is None else np.array(excluded)
        find(torch.eye(3)[:1], torch.eye(3), [np.array(rows, dtype=int) for rows in answers], excluded=excluded)


def test_vectors_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="1 of 3 gallery vectors are not finite"):
        find(torch.eye(3)[:1], torch.eye(3).index_fill(0, torch.tensor([1]), torch.nan), [np.array([0])])
