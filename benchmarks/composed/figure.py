"""Draws a sheet of composed queries: reference, wish and the first results, right ones framed."""

import textwrap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state
from PIL import Image, ImageOps

from e2.benchmarks.composed.answers import ComposedAnswers
from e2.benchmarks.composed.data.task import Task
from e2.data.images import load_image
from e2.files import atomic_path

SHOWN = 6  # results per query
SIDE = 224  # pixels of each photo
RIGHT, WRONG = "#2e8b57", "#d8d8d8"
LINE, LINES = 26, 7  # characters and lines of a text


def save_examples(task: Task, answers: ComposedAnswers, path: Path, *, count: int, title: str, seed: int = 0) -> None:
    """Writes a PNG with one row for each of ``count`` queries selected by ``seed``, in their first wording."""
    assert task.answers is not None
    queries = np.sort(np.random.default_rng(seed).choice(len(task), min(count, len(task)), replace=False))
    figure = Figure(figsize=(1.9 * (SHOWN + 2), 2.1 * len(queries) + 0.5), layout="constrained")
    figure.suptitle(textwrap.shorten(title, 140, placeholder="..."), fontsize=10, parse_math=False)
    for row, query in zip(figure.subplots(len(queries), SHOWN + 2, squeeze=False), queries, strict=True):
        _draw_photo(row[0], task.images[int(task.references[query])], "reference")
        wish = task.wordings[0][query]
        _draw_text(row[1], wish if isinstance(wish, str) else " / ".join(wish), "wish")
        right = set(task.answers[query].tolist())
        for place, axes in enumerate(row[2:]):
            _draw_result(axes, task, int(answers.top[0, query, place]), right, place + 1)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a wish may hold characters that the font lacks
        figure.savefig(temporary, dpi=100, facecolor="white")


def _draw_result(axes: Axes, task: Task, target: int, right: set[int], place: int) -> None:
    if target < 0:  # the gallery is shorter
        axes.axis("off")
        return
    if task.texts is None:
        _draw_photo(axes, task.images[target], str(place))
    else:
        _draw_text(axes, task.texts[target], str(place))
    axes.spines[:].set(color=RIGHT if target in right else WRONG, linewidth=4 if target in right else 1)


def _draw_photo(axes: Axes, source: Any, title: str) -> None:
    photo = source if isinstance(source, Image.Image) else load_image(source)
    axes.imshow(np.asarray(ImageOps.pad(photo, (SIDE, SIDE), color="white")))
    _finish(axes, title)


def _draw_text(axes: Axes, text: str, title: str) -> None:
    lines = textwrap.wrap(text, LINE, max_lines=LINES, placeholder="...")
    axes.text(0.5, 0.5, "\n".join(lines), ha="center", va="center", fontsize=8, transform=axes.transAxes, parse_math=False)
    axes.set_box_aspect(1)
    _finish(axes, title)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=8, color="0.3")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=WRONG)
