"""Photos against photos: the same as counted by hand and by a plain loop; no photo finds itself."""

import numpy as np
import pytest
import torch

from e2.benchmarks.retrieval.similar import NAMES, similar_hits, tag_groups
from e2.data.product import Product
from e2.ranks import KS


def naive(images: np.ndarray, groups: np.ndarray) -> dict[int, list[float]]:
    """Values of each query, one photo after another, for galleries without ties."""
    found = {}
    for row, group in enumerate(groups):
        others = [i for i in range(len(groups)) if i != row]
        if group < 0 or not any(groups[i] == group for i in others):
            continue
        ranked = sorted(others, key=lambda i: -float(images[row] @ images[i]))
        right = [groups[i] == group for i in ranked]
        found[row] = [*(float(any(right[:k])) for k in KS), sum(right[:10]) / 10]
    return found


@pytest.mark.parametrize("block", [7, 512])
def test_values_are_those_of_a_plain_loop(monkeypatch, block):
    monkeypatch.setattr("e2.benchmarks.retrieval.similar.BLOCK", block)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 8))
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    groups = rng.integers(-1, 12, 40)
    rows, values = similar_hits(torch.from_numpy(images), groups)
    expected = naive(images, groups)
    assert rows.tolist() == list(expected)
    np.testing.assert_allclose(values, list(expected.values()))


def test_by_hand_with_ties():
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    rows, values = similar_hits(images, np.array([0, 1, 0, -1, 1]))
    assert rows.tolist() == [0, 1, 2, 4]
    table = dict(zip(NAMES, values.T.tolist(), strict=True))
    assert table["R@1"] == [0.5, 1, 0.5, 1]  # photo 3, of no group, is as near to photo 0 as photo 2
    assert table["P@10"] == [0.1] * 4


def test_nothing_to_find():
    rows, values = similar_hits(torch.eye(3), np.array([0, 1, -1]))
    assert len(rows) == 0 and values.shape == (0, len(NAMES))


def test_groups_are_those_of_equal_values():
    tags = [
        {"kind": "T-Shirt", "look": "casual | flat"},
        {"kind": "tee shirt", "look": "flat | casual"},
        {"kind": "T-Shirt", "look": "flat"},
        {"kind": "T-Shirt"},
    ]
    products = [Product(str(i), (b"",), ("a",), own) for i, own in enumerate(tags)]
    assert tag_groups(products, ["kind", "look"]).tolist() == [0, 0, 1, -1]
    assert tag_groups(products, ["kind"]).tolist() == [0, 0, 0, 0]
