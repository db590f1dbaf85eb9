"""Retrieval examples: each encoder's results for the same query, the right answer framed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.items import read_items
from e2.benchmarks.reports.pictures import shrunk
from e2.data import Catalogue
from e2.files import atomic_path

TOP = 5
RIGHT = "#0a8f5b"
SIDE = 160  # pixels of a photo


@dataclass(frozen=True)
class ExampleHit:
    """A retrieved photo, and whether it is of the product meant."""

    photo: Image.Image
    product_id: str
    right: bool


@dataclass(frozen=True)
class Example:
    """One query."""

    text: str  # the words
    ranks: list[int]  # per encoder, the rank of the right photo from 1
    hits: list[list[ExampleHit]]  # per encoder, the first few photos


def choose_queries(ranks: np.ndarray, count: int, seed: int) -> list[int]:
    """Chooses queries by ranks (encoders, T), the baseline's first: one that gains most, one that loses most, one at random,
    ...
    """
    gain = np.log(ranks[0]) - np.log(ranks[-1])  # from rank 50 to 5 counts as much as from 10 to 1
    orders = [np.argsort(-gain, kind="stable"), np.argsort(gain, kind="stable")]
    orders.append(np.random.default_rng(seed).permutation(ranks.shape[1]))
    turns = [int(order[place]) for place in range(min(count, ranks.shape[1])) for order in orders]
    return list(dict.fromkeys(turns))[:count]


def find_examples(encoders: Sequence[Encoder], catalogue: Catalogue, *, text: str, count: int, seed: int) -> list[Example]:
    """Ranks every first photo of the split for every first ``text`` and picks some queries; encoders: the baseline first."""
    items = read_items(catalogue, text, first_only=True)
    scores = [encoder.encode_texts(items.texts) @ encoder.encode_images(items.images).T for encoder in encoders]  # (T, I)
    own = np.arange(len(items.texts))
    ranks = np.stack([1 + (score > score[own, own][:, None]).sum(axis=1) for score in scores])
    examples = []
    for query in choose_queries(ranks, count, seed):
        best = [np.argsort(-score[query], kind="stable")[:TOP].tolist() for score in scores]
        hits = [[ExampleHit(shrunk(items.images[i], SIDE), items.product_ids[i], i == query) for i in own] for own in best]
        examples.append(Example(items.texts[query], ranks[:, query].tolist(), hits))
    return examples


def draw_examples(examples: Sequence[Example], names: Sequence[str], paths: Sequence[Path]) -> None:
    """Draws a row per query, the encoders' photos side by side; ``paths`` end in .png, .svg or .pdf."""
    columns = TOP * len(names) + len(names) - 1  # a gap between encoders
    figure = Figure(figsize=(1.15 * columns, 1.62 * len(examples) + 0.3), dpi=140)
    axes = figure.subplots(len(examples), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for row, example in zip(axes, examples, strict=True):
        for place, (hits, rank, name) in enumerate(zip(example.hits, example.ranks, names, strict=True)):
            start = place * (TOP + 1)
            for axis, hit in zip(row[start:], hits, strict=False):
                axis.imshow(np.asarray(hit.photo))
                if hit.right:
                    axis.set_axis_on()
                    axis.set(xticks=[], yticks=[])
                    axis.spines[:].set(color=RIGHT, linewidth=3.5)
            row[start].set_title(f"{name}: place {rank}", fontsize=8, loc="left", parse_math=False)
        said = example.text if len(example.text) <= 190 else example.text[:189] + "…"
        row[0].text(0, -0.04, said, transform=row[0].transAxes, fontsize=7.5, va="top", parse_math=False)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.97, bottom=0.03, wspace=0.06, hspace=0.3)
    for path in paths:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], facecolor="white")
