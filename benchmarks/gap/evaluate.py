"""Evaluates the modality gap, alignment and uniformity of descriptions and tags, and the effect of narrowing the gap, for `e2
evaluate gap`.

Measured on the first photo and the first text of each product. Per entity, a product's tag text is paired with its image
embedding (``ENTITY_gap`` ...) and, in an E2 model, with the entity's region embedding (``ENTITY_region_gap`` ...).

The sweep moves photos and texts towards each other by several shares of the offset between their means (Liang et al., 2022),
and evaluates retrieval and, given captioners, captions. The offset and the best share come from a tuning split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.text import Text

from e2.adapters.captioning.captioner import Captioner
from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import TagReader, tag_vocabulary
from e2.adapters.unit_vectors import mean_of_each
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import (
    Comparison,
    Measured,
    check_encoders,
    compare_encoders,
    short_names,
    write_comparison,
)
from e2.benchmarks.core.encoded import first_photos
from e2.benchmarks.core.items import Items, read_items
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.gap.figure import save_gap
from e2.benchmarks.gap.metrics import Clouds, chance_gap, figures, offset, plane
from e2.benchmarks.gap.sweep import AMOUNTS, Pairs, caption_sweep, retrieval_sweep
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError
from e2.ranks import TIE_POLICY
from e2.spelling import spelling
from e2.wide_table import WideTable

FIGURES = ("gap.png", "gap.svg")
HEADLINE = ("gap", "relative_gap", "alignment", "uniformity", "uniformity_text", "SumR", "SumR_narrowed")
POINTS = 400  # of each kind in the picture


@dataclass(frozen=True)
class Subjects:
    """Data of an evaluation: a split's ``items`` and tags' values, the items of the ``tuning`` split, each entity's values."""

    items: Items
    tags: list[dict[str, tuple[str, ...]]]
    vocabulary: dict[str, list[str]]
    tuning: Items


def evaluate_gap(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    tuning: Catalogue,
    *,
    text: str = "caption",
    captioners: Sequence[Captioner] = (),
    captioned: int = 200,
    seed: int = 0,
    out: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Measures the gap of several encoders on the same products, with paired differences.

    Args:
        encoders: one or several.
        catalogue: one split.
        tuning: another, for the offset and the best share of it.
        text: ``caption`` or ``full``.
        captioners: each of one of the encoders.
        captioned: number of products to caption, the first ones.
        seed, resamples: of the bootstrap.
        out: folder for `write_comparison` and ``gap.png``.

    Raises:
        InputError: no encoder or one twice, a captioner of another encoder, or a split too small.
    """
    check_encoders(encoders, out, *FIGURES)
    _check_captioners(captioners, encoders)
    subjects = _subjects(catalogue, tuning, text)
    clouds: list[Clouds] = []
    bootstrap = {"seed": seed, "resamples": resamples}

    def measure(encoder: Encoder) -> Measured:
        images, regions = first_photos(encoder, catalogue)
        pairs = images, encoder.encode_texts(subjects.items.texts)
        moving = encoder.encode_images(subjects.tuning.images), encoder.encode_texts(subjects.tuning.texts)
        metrics, samples = _described(_kinds(encoder, subjects, pairs, regions), **bootstrap)
        rows, drawn = retrieval_sweep(pairs, moving, **bootstrap)
        best = max(range(len(rows)), key=lambda place: (rows[place]["tuning_SumR"], -abs(AMOUNTS[place])))
        for name, place in (("SumR", AMOUNTS.index(0.0)), ("SumR_narrowed", best)):
            metrics[name], samples[name] = rows[place]["metrics"]["SumR"], drawn[place]
        clouds.append(plane(*pairs, np.random.default_rng(seed).permutation(len(images))[:POINTS]))
        narrowing = {
            "offset_from": {"split": tuning.split, "n": len(subjects.tuning.texts)},
            "best_amount": AMOUNTS[best],
            "gain": rows[best]["gain"],
            "gain_ci95": rows[best]["gain_ci95"],
            "sweep": rows,
        }
        photos, references = images[:captioned], [[text] for text in subjects.items.texts[:captioned]]
        own = [one for one in captioners if _same(one.encoder, encoder)]
        captions = [_captions(one, photos, offset(*moving), references, **bootstrap) for one in own]
        facts = {"chance_gap": chance_gap(*pairs), "narrowing": narrowing, "captioners": captions, "tie_policy": TIE_POLICY}
        return metrics, samples, facts

    comparison = compare_encoders(encoders, measure, "gap", "first-photo", catalogue, text=text, **bootstrap)
    write_comparison(out, comparison)
    if out is not None:
        save_gap(comparison, clouds, Path(out))
    return comparison


def _check_captioners(captioners: Sequence[Captioner], encoders: Sequence[Encoder]) -> None:
    for captioner in captioners:
        if not any(_same(captioner.encoder, encoder) for encoder in encoders):
            fitted = captioner.encoder.info["path"]
            raise InputError(
                f"{captioner.info['path']} was fitted to {fitted}, which is not among the models; add it by --model"
            )


def _same(first: Encoder, second: Encoder) -> bool:
    return first.info["weights_sha256"] == second.info["weights_sha256"]


def _subjects(catalogue: Catalogue, tuning: Catalogue, text: str) -> Subjects:
    return Subjects(
        read_items(catalogue, text, first_only=True),
        [product.values for product in without_photos(catalogue)],
        tag_vocabulary(catalogue) if catalogue.tags else {},
        read_items(tuning, text, first_only=True),
    )


def _kinds(
    encoder: Encoder, subjects: Subjects, pairs: Pairs, regions: np.ndarray | None
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Prefix of the metrics -> products, their photos' vectors, their texts' vectors."""
    kinds = {"": (np.arange(len(subjects.tags)), *pairs)}
    values = TagReader(encoder, subjects.vocabulary).values if subjects.vocabulary else {}
    for entity, table in values.items():
        place = {spelling(value): number for number, value in enumerate(subjects.vocabulary[entity])}
        products = np.flatnonzero([entity in tags for tags in subjects.tags])
        owned = [[place[spelling(value)] for value in subjects.tags[product][entity]] for product in products]
        texts = mean_of_each(table, owned)
        kinds[f"{entity}_"] = products, pairs[0][products], texts
        if regions is not None and entity in encoder.tags:
            kinds[f"{entity}_region_"] = products, regions[products, encoder.tags.index(entity)], texts
    return kinds


def _described(
    kinds: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], *, seed: int, resamples: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Figures of each kind, and their bootstrap samples."""
    metrics: dict[str, float] = {}
    samples: dict[str, np.ndarray] = {}
    for prefix, (products, images, texts) in kinds.items():
        values = figures(images, texts)
        measure = Measure(np.stack(list(values.values()), axis=1), products)
        drawn = resampled_means([measure], resamples=resamples, seed=seed)
        metrics |= {prefix + name: float(value.mean()) for name, value in values.items()}
        samples |= {prefix + name: column for name, column in zip(values, drawn.T, strict=True)}
    return metrics, samples


def _captions(
    captioner: Captioner, photos: np.ndarray, gap: np.ndarray, references: list[list[str]], **bootstrap: int
) -> dict[str, Any]:
    """Sweeps one captioner; also says which."""
    info = {name: captioner.info[name] for name in ("path", "weights_sha256", "method")}
    facts = {"modality_offset": captioner.config.modality_offset, "n": len(photos)}
    return {**info, **facts, "sweep": caption_sweep(captioner, photos, gap, references, **bootstrap)}


def results_table(comparison: Comparison) -> RenderableType:
    """Tabulates figures of descriptions and relative gaps of tags by encoder; * marks differences clear of zero."""
    first = comparison.results[0]
    title = "modality gap on {dataset}, {split}, {n:,} products, text {text}".format_map(first)
    caption = "gap: of unit vectors; uniformity: lower is more even; SumR in points; 95 % intervals over products"
    known = dict.fromkeys(name for record in comparison.results for name in record["metrics"])
    names = [name for name in known if name in HEADLINE or name.endswith("_relative_gap")]  # the others are in the files
    return metrics_table(comparison, names, title, caption, digits=3)


def sweep_table(comparison: Comparison) -> WideTable:
    """Tabulates the effect of narrowing: SumR, and each captioner's CIDEr, by share of the offset."""
    caption = "0: as trained, 1: the means meet; * clear of the value at 0"
    table = WideTable("amount", title="Narrowed afterwards", caption=caption)
    curves = []
    for name, record in zip(short_names(comparison), comparison.results, strict=True):
        curves.append((f"{name} SumR", "SumR", record["narrowing"]["sweep"]))
        curves += [(f"{one['path'].rpartition('/')[2]} CIDEr", "CIDEr", one["sweep"]) for one in record["captioners"]]
    for heading, _, _ in curves:
        table.add_column(Text(heading), justify="right")
    for place, amount in enumerate(AMOUNTS):
        here = [(rows[place]["metrics"][metric], rows[place]["gain_ci95"]) for _, metric, rows in curves]
        table.add_row(f"{amount:g}", *(f"{value:.1f}{'' if low <= 0 <= high else '*'}" for value, (low, high) in here))
    return table
