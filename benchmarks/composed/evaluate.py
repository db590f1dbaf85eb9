"""Evaluates methods x encoders on one task, with intervals, on the same queries, for `e2 evaluate composed`.

The photos of a task are encoded once per encoder and shared by all methods. Each pair is written as soon as it is done, so a
method that fails later loses nothing.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.rewriting import tally
from e2.adapters.encoder import Encoder
from e2.benchmarks.composed.answers import ComposedAnswers, answer, hidden_top, subset_top
from e2.benchmarks.composed.data.task import Picked, Task
from e2.benchmarks.composed.data.usable import covered, refuse_damaged, refuse_incomplete
from e2.benchmarks.composed.figure import save_examples
from e2.benchmarks.composed.methods import BASELINES, Methods
from e2.benchmarks.composed.notes import rewriting_line
from e2.benchmarks.core.bootstrap import RESAMPLES
from e2.benchmarks.core.comparison import (
    COMPARISON,
    MeasuredEncoder,
    check_different,
    claim_comparison,
    folder_name,
    paired_difference,
    recorded,
)
from e2.benchmarks.core.records import NAME
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.notes import say
from e2.ranks import TIE_POLICY

QUERIES, ANSWERS, STEPS, EXAMPLES = "queries.json", "queries.npz", "steps.jsonl", "examples.png"
OF_A_PAIR = (NAME, ANSWERS, STEPS, EXAMPLES, "cirr_recall.json", "cirr_recall_subset.json", "circo.json")


@dataclass(frozen=True)
class ComposedComparison:
    """Result of an evaluation."""

    results: list[dict[str, Any]]  # one record for each pair of encoder and method, as in its ``metrics.json``
    # second minus first with paired intervals: methods against the baselines on one encoder (has ``encoder``), encoders
    # against the first of them with one method (has ``method``)
    differences: list[dict[str, Any]]
    # for each pair, whether it beats the photo alone and the words alone by its first metric
    both_halves: list[dict[str, Any]]

    def record(self) -> dict[str, Any]:
        """The record in ``comparison.json``."""
        return {"results": self.results, "differences": self.differences, "both_halves_needed": self.both_halves}


Pairs = dict[tuple[str, str], MeasuredEncoder]  # by encoder and method


def evaluate_composed(
    encoders: Sequence[Encoder],
    task: Task,
    methods: Methods,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    examples: int = 0,
    resamples: int = RESAMPLES,
) -> ComposedComparison:
    """Evaluates every method on every encoder.

    Args:
        encoders: one or several different ones.
        task: with known answers.
        methods: composers to run.
        out: folder: ``comparison.json``, and for each pair ``ENCODER/METHOD/`` with ``metrics.json``, ``queries.npz`` (every
            query's values), ``steps.jsonl`` (if a method has steps to show) and ``examples.png`` (if asked for).
        seed: of the bootstrap and of the examples.
        examples: queries to draw for each pair; 0 = none.
        resamples: of the bootstrap.

    Raises:
        InputError: no encoder or one twice, hidden answers, or what a composer refuses.
    """
    if task.answers is None:
        raise InputError(f"the answers of {task.benchmark} {task.split} are hidden; only a submission can be written")
    paths = [encoder.info["path"] for encoder in encoders]
    claim_pairs(out, paths, methods)
    pairs: Pairs = {}
    for encoder, composer, gallery, composed, seconds in _composed(encoders, task, methods):
        start, path = time.perf_counter() - seconds, encoder.info["path"]
        answers = answer(task, [_tensor(each.vectors, encoder) for each in composed], gallery)
        pair = _measured(task, encoder, composer, composed, answers, start, seed, resamples)
        pairs[path, composer.name] = pair
        if out is not None:
            folder = Path(out) / _label(paths, path) / composer.name
            write_json(folder / NAME, pair.record)
            answers.save(folder / ANSWERS)
            _write_steps(folder / STEPS, task, composed)
            if examples:
                title = f"{composer.name} on {path}: {task.name}, {task.protocol}"
                save_examples(task, answers, folder / EXAMPLES, count=examples, title=title, seed=seed)
    comparison = ComposedComparison([pair.record for pair in pairs.values()], _differences(pairs), _both_halves(pairs))
    if out is not None:
        write_json(Path(out) / COMPARISON, comparison.record())
    return comparison


def write_submissions(
    encoders: Sequence[Encoder], task: Task, methods: Methods, write: Callable[..., list[Path]], out: str | Path
) -> list[Path]:
    """Writes a folder of submission files for each pair, for test sets with hidden answers.

    ``write``: (folder, task, top rows[, top rows of the short lists]) -> files, of the data set.

    Raises:
        InputError: queries or photos were left out, so that no server would accept the files; or what a composer refuses.
    """
    refuse_incomplete(f"{task.benchmark} {task.split}", task.facts)
    written = []
    for encoder, composer, gallery, composed, _ in _composed(encoders, task, methods):
        queries = _tensor(composed[0].vectors, encoder)
        tops = [hidden_top(task, queries, gallery)]
        if task.subset is not None:
            tops.append(subset_top(task, queries, gallery))
        if line := rewriting_line(_rewriting(composed)):
            say(f"{composer.name}: {line}")
        label = _label([other.info["path"] for other in encoders], encoder.info["path"])
        written += write(Path(out) / label / composer.name, task, *tops)
    return written


def _composed(
    encoders: Sequence[Encoder], task: Task, methods: Methods
) -> Iterator[tuple[Encoder, Composer, Tensor, list[Composed], float]]:
    """Yields encoder, composer, gallery vectors, composed queries of each wording and composing time in seconds."""
    check_different([encoder.info["path"] for encoder in encoders], "encoders")
    methods.check(encoders)
    chosen = [methods.composers(encoder) for encoder in encoders]  # all of them, before the first photo is encoded
    for encoder, composers in zip(encoders, chosen, strict=True):
        photos = _encoded(encoder, task)
        gallery = _tensor(_gallery(encoder, task, photos), encoder)
        references = References(encoder, Picked(task.images, task.references), photos[task.references])
        for composer in composers:
            start = time.perf_counter()
            composed = [composer.composed(references, list(wishes)) for wishes in task.wordings]
            yield encoder, composer, gallery, composed, time.perf_counter() - start


def _encoded(encoder: Encoder, task: Task) -> np.ndarray:
    """Encodes the photos, (I, D); if one of a published data set fails, counts all that would."""
    try:
        return encoder.encode_images(task.images)
    except InputError:
        if covered(task.facts):
            refuse_damaged(dict(zip(task.image_names, task.images, strict=True)))
        raise


def _gallery(encoder: Encoder, task: Task, photos: np.ndarray) -> np.ndarray:
    if task.vectors is not None:
        return task.vectors(encoder)
    return photos if task.texts is None else encoder.encode_texts(task.texts)


def _measured(
    task: Task,
    encoder: Encoder,
    composer: Composer,
    composed: Sequence[Composed],
    answers: ComposedAnswers,
    start: float,
    seed: int,
    resamples: int,
) -> MeasuredEncoder:
    metrics = answers.metrics()
    samples = dict(zip(metrics, answers.samples(resamples, seed).T, strict=True))
    facts: dict[str, Any] = {
        "text": composer.preset.name,
        "method": composer.name,
        "composer": composer.info,
        "gallery": len(task.target_names),
        "reference": "left out of the gallery" if task.exclude_reference else "kept in the gallery",
        "recall": "a query is found if any right answer is in the top K",
        "tie_policy": TIE_POLICY,
        "tie_bounds": answers.tie_bounds(),
        "paraphrases": answers.paraphrases(),
        "hard_negatives": answers.hard_negatives(),
        "rewriting": _rewriting(composed),
        "data": dict(task.facts),
    }
    facts |= {"seed": seed, "resamples": resamples, "unit": "reference"}
    return recorded("composed", task.protocol, task, encoder, metrics, samples, start, **facts)


def _rewriting(composed: Sequence[Composed]) -> dict[str, Any] | None:
    """Success of a method's rewriting, over all wordings; None for a method that rewrites nothing."""
    found = [each for wording in composed for each in wording.rewritings]
    return tally(found) if found else None


def _differences(pairs: Pairs) -> list[dict[str, Any]]:
    """Compares methods with the baselines on each encoder, then encoders with the first for each method."""
    found = []
    first_encoder = next(iter(pairs))[0]
    for (encoder, method), (other_encoder, other) in itertools.product(pairs, pairs):
        if encoder == other_encoder and method in BASELINES and other not in BASELINES[: BASELINES.index(method) + 1]:
            names = {"encoder": encoder, "first": method, "second": other}
        elif method == other and encoder == first_encoder != other_encoder:
            names = {"method": method, "first": encoder, "second": other_encoder}
        else:
            continue
        found.append({**names, **paired_difference(pairs[encoder, method], pairs[other_encoder, other])})
    return found


def _both_halves(pairs: Pairs) -> list[dict[str, Any]]:
    """True where photo and words together beat either alone: both paired intervals lie above zero."""
    found = []
    for (encoder, method), pair in pairs.items():
        alone = {half: pairs[encoder, half] for half in ("image", "text") if (encoder, half) in pairs}
        if method in alone or len(alone) < 2:
            continue
        metric = next((name for name in pair.record["metrics"] if name.startswith("mAP")), next(iter(pair.record["metrics"])))
        gains = {half: paired_difference(other, pair) for half, other in alone.items()}
        over = {half: {"gain": gain["metrics"][metric], "ci95": gain["ci95"][metric]} for half, gain in gains.items()}
        needed = all(each["ci95"][0] > 0 for each in over.values())
        found.append({"encoder": encoder, "method": method, "metric": metric, "over": over, "needed": needed})
    return found


def _tensor(vectors: np.ndarray, encoder: Encoder) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(vectors)).to(encoder.device)


def claim_pairs(out: str | Path | None, encoders: Sequence[str], methods: Methods) -> None:
    """Refuses, before any evaluation, a folder in which the results of some encoders could not be written.

    Raises:
        InputError: it is a file, or a file in it was not written by e2.
    """
    folders = [f"{_label(encoders, encoder)}/{method}" for encoder in encoders for method in methods.names]
    claim_comparison(out, QUERIES, *(f"{folder}/{name}" for folder in folders for name in OF_A_PAIR))


def _label(encoders: Sequence[str], encoder: str) -> str:
    """Name of an encoder's folder."""
    return folder_name(encoders.index(encoder) + 1, encoder.rstrip("/").rpartition("/")[2])


def _write_steps(path: Path, task: Task, composed: Sequence[Composed]) -> None:
    """Writes each query's steps, one JSON object per line; nothing if the method has no steps."""
    if not any(each.steps for each in composed):
        return
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for wording, each in enumerate(composed):
            for name, steps in zip(task.query_names, each.steps, strict=True):
                file.write(json.dumps({"query": name, "wording": wording, **steps}, ensure_ascii=False) + "\n")
