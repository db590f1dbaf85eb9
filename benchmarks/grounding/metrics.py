"""Measures whether a map over a photo's patches points at the right location. Pure functions, no model.

The pointing game (Zhang et al., "Top-down Neural Attention by Excitation Backprop", IJCV 2018, section 4.1): the map's maximum
is a hit if it lies in the box; theirs grants a tolerance of 15 pixels around it. Here the maximum is a patch, its point the
patch's centre, and the tolerance is a share of the photo's sides, so that coarse and fine maps play the same game: 0 is the
strict one. If several patches share the maximum, the score is the share of them that hit, the expectation of a random choice.
So a uniform map *is* the random baseline exactly.

Legend: B photos, k tokens; boxes are x0, y0, x1, y1 in 0..1 of what the encoder sees (`e2.benchmarks.grounding.view`).
"""

import numpy as np

TIE = 1e-6  # relative; weights that differ by less are equal up to rounding


def pointing(weights: np.ndarray, boxes: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Scores the pointing game: (B, k, rows, columns) weights, (B, 4) boxes -> (B,) in 0..1.

    Args:
        weights: non-negative; summed over tokens first.
        boxes: targets.
        tolerance: share of the photo's sides by which the box grows on every side.
    """
    total = np.asarray(weights, dtype=np.float64).sum(axis=1)
    best = total >= total.max(axis=(1, 2), keepdims=True) * (1 - TIE)  # (B, rows, columns)
    hit = best & centres_inside(boxes, total.shape[1:], tolerance)
    return hit.sum(axis=(1, 2)) / best.sum(axis=(1, 2))


def mass_in_box(weights: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Computes the share of the weight that lies in the box: (B, k, rows, columns), (B, 4) -> (B,) in 0..1.

    A patch's weight is spread evenly over its area, so a patch that the box covers by half counts half.
    """
    total = np.asarray(weights, dtype=np.float64).sum(axis=1)
    return (total * coverage(boxes, total.shape[1:])).sum(axis=(1, 2)) / total.sum(axis=(1, 2))


def reachable(boxes: np.ndarray, grid: tuple[int, int], tolerance: float = 0.0) -> np.ndarray:
    """Pointing score of the best possible map, (B,): 0 where a small box lies between all centres."""
    return centres_inside(boxes, grid, tolerance).any(axis=(1, 2)).astype(float)


def centres_inside(boxes: np.ndarray, grid: tuple[int, int], tolerance: float = 0.0) -> np.ndarray:
    """(B, 4) -> (B, rows, columns) bool: which patch centres lie in the box, enlarged by ``tolerance``."""
    boxes, (rows, columns) = np.asarray(boxes, dtype=np.float64), grid
    x0, y0, x1, y1 = boxes.T[:, :, None]  # (B, 1) each
    x, y = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
    across = (x0 - tolerance <= x) & (x <= x1 + tolerance)  # (B, columns)
    down = (y0 - tolerance <= y) & (y <= y1 + tolerance)  # (B, rows)
    return down[:, :, None] & across[:, None, :]


def coverage(boxes: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(B, 4) -> (B, rows, columns): the share of each patch's area that the box covers."""
    x0, y0, x1, y1 = np.asarray(boxes, dtype=np.float64).T
    return _overlap(y0, y1, grid[0])[:, :, None] * _overlap(x0, x1, grid[1])[:, None, :]


def _overlap(low: np.ndarray, high: np.ndarray, cells: int) -> np.ndarray:
    """(B,), (B,) -> (B, cells): the share of each of equal cells of 0..1 that lies in low..high."""
    edges = np.arange(cells) / cells
    inside = np.minimum(high[:, None], edges + 1 / cells) - np.maximum(low[:, None], edges)
    return inside.clip(0) * cells
