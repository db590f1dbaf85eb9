"""Evaluates whether selection tokens look at their tags, against maps of plain towers, the centre and chance, for `e2
evaluate grounding`.

Ground truths (name the one used):

- ``boxes``: the true location of each tag, known for the built-in catalogue.
- ``windows``: the part of the photo that suits the tag's text best when cropped or with blurred surroundings, according to the
  encoder itself (ReCLIP); measures agreement, without boxes.

Metrics are called ``MEASURE/MAP/ENTITY``. Measures: ``pointing`` (the strict pointing game), ``near`` (with the published
tolerance of 15 pixels, on a photo of 224) and ``mass`` (share of the weight inside), all in percent; see ``metrics``. Maps:
``tokens`` (all fusion blocks), ``tokens@LAYER``, those of ``attention_maps``, ``centre`` and ``random``.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.text import Text

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, interval, resampled_means
from e2.benchmarks.core.comparison import (
    Comparison,
    Measured,
    Samples,
    check_encoders,
    compare_encoders,
    short_names,
    write_comparison,
)
from e2.benchmarks.core.tables import cell
from e2.benchmarks.grounding.figure import save_bars
from e2.benchmarks.grounding.maps import TOKENS, Maps, maps_of, read_maps, tag_texts
from e2.benchmarks.grounding.metrics import mass_in_box, pointing, reachable
from e2.benchmarks.grounding.view import view_for
from e2.benchmarks.grounding.windows import best_windows
from e2.counting import counted
from e2.data import Catalogue, Product
from e2.errors import InputError, require_choice
from e2.wide_table import WideTable

FIGURES = ("grounding.png", "grounding.svg")
TRUTHS = ("boxes", "windows")
NEAR = 15 / 224  # of a side: 15 pixels around the box, as published, on photos of 224
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pointing": pointing,
    "near": partial(pointing, tolerance=NEAR),
    "mass": mass_in_box,
}


@dataclass(frozen=True)
class TagBoxes:
    """Boxes of each entity's tag: entity -> (N, 4) in an encoder's view, NaN if unknown."""

    boxes: dict[str, np.ndarray]

    def known(self, entity: str) -> np.ndarray:
        """Mask (N,) of products whose box is known."""
        return ~np.isnan(self.boxes[entity]).any(axis=1)


@dataclass(frozen=True)
class Scores:
    """Scores, metric -> (N,) per product, in percent, NaN where an entity's location is unknown."""

    values: dict[str, np.ndarray]

    def means(self) -> dict[str, float]:
        return {name: float(np.nanmean(values)) for name, values in self.values.items()}

    def samples(self, resamples: int, seed: int) -> dict[str, np.ndarray]:
        """Bootstraps the means, metric -> (resamples,); all metrics and encoders share the resampled products."""
        count = len(next(iter(self.values.values())))
        known = {name: np.flatnonzero(~np.isnan(values)) for name, values in self.values.items()}
        measures = [Measure(values[known[name], None], known[name]) for name, values in self.values.items()]
        everyone = Measure(np.zeros((count, 1)), np.arange(count))  # the same resamples whichever boxes are known
        means = resampled_means([*measures, everyone], resamples=resamples, seed=seed)
        return dict(zip(self.values, means.T[:-1], strict=True))


def evaluate_grounding(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    *,
    truth: str | None = None,
    products: int = 1000,
    seed: int = 0,
    out: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Scores every map of every encoder on the same products.

    Args:
        encoders: one or several, with or without selection tokens.
        catalogue: one split; its ``tags`` are the entities.
        truth: ``boxes`` or ``windows``; None: boxes if the catalogue has some.
        products: how many, at most, selected at random by ``seed``.
        seed: of that selection and of the bootstrap.
        out: folder for `write_comparison` and ``grounding.png``.
        resamples: of the bootstrap.

    Returns:
        Records; ``tokens_minus`` holds paired differences between an encoder's tokens and every other map of its own and, if
        all share one ground truth, of the other encoders.

    Raises:
        InputError: unknown truth, no tags, no boxes in the catalogue, or an image tower that is not a ViT.
    """
    check_encoders(encoders, out, *FIGURES)
    rows = np.sort(np.random.default_rng(seed).permutation(len(catalogue))[:products])
    drawn = [catalogue[int(row)] for row in rows]
    entities = [entity for entity in catalogue.tags if any(entity in product.tags for product in drawn)]
    if not entities:
        raise InputError(f"{catalogue.name} has no tags to look for; name columns by --tags, e.g. --tags brand,season")
    boxed = any(product.regions for product in drawn)
    truth = truth or ("boxes" if boxed else "windows")
    require_choice("truth", truth, TRUTHS)
    if truth == "boxes" and not boxed:
        raise InputError(f"{catalogue.name} has no boxes; leave out --truth, or give --truth windows")
    photos = ProductImages.first(catalogue, rows)
    samples: list[Samples] = []

    def measure(encoder: Encoder) -> Measured:
        found, facts = score_encoder(encoder, drawn, photos, entities, truth)
        samples.append(found.samples(resamples, seed))
        return found.means(), samples[-1], {**facts, "n": len(drawn), "tolerance_of_near": "15 of 224 pixels"}

    options: dict[str, Any] = {"text": "tag", "seed": seed, "resamples": resamples}
    comparison = compare_encoders(encoders, measure, "grounding", truth, catalogue, **options)
    _add_token_differences(comparison, samples)
    write_comparison(out, comparison)
    if out is not None:
        save_bars(comparison, Path(out))
    return comparison


def grounding_tables(comparison: Comparison) -> list[WideTable]:
    """Tabulates the strict pointing game and the one with tolerance: maps by entity, with intervals."""
    first = comparison.results[0]
    what = {"boxes": "true boxes", "windows": "best windows"}[first["protocol"]]
    titles = {"pointing": "Pointing game", "near": f"Pointing game, tolerance {first['tolerance_of_near']}"}
    tables = []
    for measure, title in titles.items():
        heading = f"{title}: {what} on {first['dataset']}, {first['split']}, {counted(first['n'], 'product')}"
        table = WideTable("map", title=Text(heading), caption=Text("percent, 95 % intervals over products"))
        for entity in first["places"]:
            table.add_column(Text(entity.replace("_", " ")), justify="right")
        for name, record in zip(short_names(comparison), comparison.results, strict=True):
            for map_name in maps_of(record["metrics"]):
                label = map_name if len(comparison.results) == 1 else f"{name}: {map_name}"
                table.add_row(Text(label), *(cell(record, f"{measure}/{map_name}/{e}") for e in first["places"]))
        if first["protocol"] == "boxes":
            table.add_row("best possible", *(f"{found[measure]:.1f}" for found in first["reachable"].values()))
        tables.append(table)
    return tables


def true_boxes(
    encoder: Encoder, products: Sequence[Product], sizes: Sequence[tuple[int, int]], entities: Sequence[str]
) -> TagBoxes:
    """Transforms the catalogue's boxes to the encoder's view; ``sizes``: (width, height) of each product's photo."""
    boxes = {entity: np.full((len(products), 4), np.nan) for entity in entities}
    for row, (product, size) in enumerate(zip(products, sizes, strict=True)):
        view = view_for(encoder.preprocessing, size)
        for entity in entities:
            if entity in product.tags and entity in product.regions:
                boxes[entity][row] = view.box(product.regions[entity]) or np.nan
    return TagBoxes({entity: found for entity, found in boxes.items() if not np.isnan(found).all()})


def score_maps(maps: Maps, truth: TagBoxes) -> Scores:
    """Scores every map by every measure, in percent."""
    values: dict[str, np.ndarray] = {}
    for name, by_entity in maps.items():
        for entity in (entity for entity in truth.boxes if entity in by_entity):
            known = truth.known(entity)
            for measure, score in MEASURES.items():
                found = np.full(len(known), np.nan)
                found[known] = 100 * score(by_entity[entity][known][:, None], truth.boxes[entity][known])
                values[f"{measure}/{name}/{entity}"] = found
    return Scores(values)


def score_encoder(
    encoder: Encoder, products: Sequence[Product], photos: Sequence[Image.Image], entities: Sequence[str], kind: str
) -> tuple[Scores, dict[str, Any]]:
    """Scores every map of an encoder on N products and their photos, by ``boxes`` or ``windows``.

    Also returns facts: grid, known locations, reachable scores.
    """
    texts = tag_texts(encoder, [product.tags for product in products], entities)
    maps = read_maps(encoder, photos, texts)
    grid = next(iter(maps["random"].values())).shape[1:]
    known = true_boxes(encoder, products, [photo.size for photo in photos], entities)
    truth = known
    if kind == "windows":
        truth = TagBoxes(best_windows(encoder, photos, texts))
        for entity, found in truth.boxes.items():
            found[[entity not in product.tags for product in products]] = np.nan
    facts: dict[str, Any] = {"grid": list(grid), "places": {e: int(truth.known(e).sum()) for e in truth.boxes}}
    tolerances = {"pointing": 0.0, "near": NEAR}
    facts["reachable"] = {
        e: {name: 100 * float(reachable(boxes[truth.known(e)], grid, t).mean()) for name, t in tolerances.items()}
        for e, boxes in truth.boxes.items()
    }
    if kind == "windows" and known.boxes:
        facts["windows_centred_in_box"] = _windows_in_boxes(truth, known)
    return score_maps(maps, truth), facts


def _windows_in_boxes(windows: TagBoxes, boxes: TagBoxes) -> dict[str, float]:
    """Percent of the windows whose middle lies in the true box, if known: a check of the windows."""
    shares = {}
    for entity, true in boxes.boxes.items():
        both = boxes.known(entity) & windows.known(entity)
        x0, y0, x1, y1 = windows.boxes[entity][both].T
        x, y, (left, top, right, bottom) = (x0 + x1) / 2, (y0 + y1) / 2, true[both].T
        shares[entity] = 100 * float(((left <= x) & (x <= right) & (top <= y) & (y <= bottom)).mean())
    return shares


def _add_token_differences(comparison: Comparison, samples: Sequence[Samples]) -> None:
    """Adds, for each encoder with tokens, their difference from each other map: value, low, high.

    Includes other encoders' maps if all share the same boxes: windows are each encoder's own.
    """
    encoders = list(zip(short_names(comparison), comparison.results, samples, strict=True))
    for (_, record, own), (name, other, drawn) in itertools.product(encoders, encoders):
        if TOKENS in maps_of(record["metrics"]) and (other is record or record["protocol"] == "boxes"):
            others = [one for one in maps_of(other["metrics"]) if not one.startswith(TOKENS)]
            minus = {f"{name}: {one}": _tokens_minus(one, record, own, other, drawn) for one in others}
            record.setdefault("tokens_minus", {}).update(minus)


def _tokens_minus(
    other_map: str, record: dict[str, Any], own: Samples, other: dict[str, Any], drawn: Samples
) -> dict[str, list[float]]:
    found = {}
    for measure, entity in itertools.product(MEASURES, record["places"]):
        mine, theirs = f"{measure}/{TOKENS}/{entity}", f"{measure}/{other_map}/{entity}"
        if mine in own and theirs in drawn:
            value = record["metrics"][mine] - other["metrics"][theirs]
            found[f"{measure}/{entity}"] = [value, *interval(own[mine] - drawn[theirs])]
    return found
