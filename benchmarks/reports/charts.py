"""Computes numbers for inline SVG charts; the template draws them, so that colours follow the page's theme."""

from typing import NamedTuple

import numpy as np

BINS = 30
WIDTH, HEIGHT = 320.0, 44.0  # of one ridge, in SVG units


class Ridge(NamedTuple):
    """Distribution of one series: an SVG path, the positions of its mean and median, and both in words."""

    path: str
    mean_x: float
    median_x: float
    mean: float
    median: float


class Ridges(NamedTuple):
    """Distributions of one quantity below each other on one axis from 0 to ``top``; the last bin includes higher values."""

    name: str
    top: float
    ridges: list[Ridge]


def ridges(name: str, series: list[np.ndarray], top: float | None = None) -> Ridges:
    """Outlines the histograms of several series, each up to its own peak, on an axis to ``top`` or the 99th percentile."""
    top = top or max(1.0, float(np.percentile(np.concatenate(series), 99)))
    return Ridges(name, top, [_ridge(values, top) for values in series])


def _ridge(values: np.ndarray, top: float) -> Ridge:
    counts = np.histogram(np.clip(values, 0, top), BINS, (0, top))[0]
    heights = counts / counts.max()
    edges = np.linspace(0, WIDTH, BINS + 1)
    steps = [f"L{x:.1f} {y:.1f}" for i, y in enumerate(HEIGHT * (1 - heights)) for x in edges[i : i + 2]]
    path = f"M0 {HEIGHT} {' '.join(steps)} L{WIDTH} {HEIGHT} Z"
    mean, median = float(values.mean()), float(np.median(values))
    return Ridge(path, WIDTH * min(mean / top, 1), WIDTH * min(median / top, 1), mean, median)
