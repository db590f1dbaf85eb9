"""Scores one or several captioners on a split, with intervals and paired differences, for `e2 evaluate captioning`.

Scores: COCO caption scores (`metrics`), named tags (`tag_scores`), variety (`variety`) and, given an encoder, retrieval of the
photo by its caption.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import RenderableType

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.benchmarks.captioning import files as caption_files
from e2.benchmarks.captioning.notes import notes_of
from e2.benchmarks.captioning.scoring import measure_captions, score, scored_rows
from e2.benchmarks.captioning.subjects import Candidate, CaptionTruth, Look, WritesCaptions, require_captions
from e2.benchmarks.core.bootstrap import RESAMPLES
from e2.benchmarks.core.comparison import (
    COMPARISON,
    Comparison,
    MeasuredEncoder,
    check_different,
    compare,
    folder_name,
)
from e2.benchmarks.core.records import NAME
from e2.benchmarks.core.tables import metrics_table
from e2.files import write_json
from e2.outputs import claim_results

LookKey = tuple[str, bool]  # hash of an encoder's weights, with regions


def evaluate_captioning(
    candidates: Sequence[Candidate | WritesCaptions],
    truth: CaptionTruth,
    *,
    text: str = "caption",
    seed: int = 0,
    out: str | Path | None = None,
    encoder: Encoder | None = None,
    java: str = "auto",
    resamples: int = RESAMPLES,
) -> Comparison:
    """Scores captioners, or captions made elsewhere, on the same products.

    Args:
        candidates: captions, or captioners that write them.
        truth: result of `read_truth`.
        text: kind of text of the references; kept in the record.
        seed, resamples: of the bootstrap.
        out: folder for ``metrics.json`` and ``captions.jsonl`` (several candidates: a folder each, and ``comparison.json``).
            Captions are written before they are scored, so that a failing Java loses none.
        encoder: embeds captions and photos for self-retrieval; None leaves that out.
        java: see `e2.benchmarks.captioning.java.find_java`.

    Raises:
        InputError: no candidate or one twice, products without a caption.
        JavaFailed: a scorer fails; written captions are kept.
    """
    paths = [candidate.info["path"] for candidate in candidates]
    check_different(paths, "captioners or caption files")
    claim_scores(out, paths)
    folders = _folders(out, paths)
    images = ProductImages.first(truth.catalogue)
    looks: dict[LookKey, Look] = {}
    photos = None
    if encoder:
        looks[encoder.info["weights_sha256"], False] = seen = encoder.encode_images(images), None
        photos = torch.from_numpy(seen[0])
    scored: list[MeasuredEncoder] = []
    for candidate, folder in zip(candidates, folders, strict=True):
        start = time.perf_counter()
        if not isinstance(candidate, Candidate):
            written = write_captions(candidate, images, looks)
            candidate = Candidate(dict(zip(truth.product_ids, written, strict=True)), dict(candidate.info))
        require_captions(candidate, truth)
        captions = {name: candidate.captions.get(name, "") for name in truth.product_ids}  # others' are ignored
        if folder:
            rows = ({"product_id": name, "caption": caption} for name, caption in captions.items())
            caption_files.write_rows(folder / caption_files.NAME, rows)
        measured = measure_captions(captions, truth, encoder, photos, java)
        scored.append(score(measured, candidate, truth, text, seed, resamples, start))
        if folder:
            caption_files.write_rows(folder / caption_files.NAME, scored_rows(measured, truth))
            write_json(folder / NAME, scored[-1].record)
    comparison = compare(scored)
    if out is not None and len(scored) > 1:
        write_json(Path(out) / COMPARISON, asdict(comparison))
    return comparison


def write_captions(captioner: WritesCaptions, images: ProductImages, looks: dict[LookKey, Look]) -> list[str]:
    """Captions the photos; captioners of one encoder look at them once, and find what they need in ``looks``."""
    key = captioner.encoder.info["weights_sha256"], captioner.reads_regions
    if key not in looks:
        looks[key] = captioner.look(images)
    return captioner.caption_features(*looks[key])


def claim_scores(out: str | Path | None, paths: Sequence[str]) -> None:
    """Refuses, before any evaluation, an output folder in which the scores of captioners or files could not be written.

    Raises:
        InputError: it is a file, or a file in it was not written by e2.
    """
    for place in filter(None, _folders(out, paths)):
        claim_results(place, NAME, caption_files.NAME)
    if out is not None and len(paths) > 1:
        claim_results(Path(out), COMPARISON)


def _folders(out: str | Path | None, paths: Sequence[str]) -> list[Path | None]:
    if out is None:
        return [None] * len(paths)
    if len(paths) == 1:
        return [Path(out)]
    labels = [Path(path).stem if Path(path).is_file() else Path(path).name for path in paths]
    return [Path(out) / folder_name(number, label) for number, label in enumerate(labels, start=1)]


def results_table(comparison: Comparison) -> RenderableType:
    """Tabulates metrics by captioner, then the paired differences; see `metrics_table`."""
    first = comparison.results[0]
    title = "captions of {dataset}, {split}, references {text}, {n} products".format_map(first)
    title += f" of {first['n_of']}" if first["n"] < first["n_of"] else ""
    notes = [f"percent, CIDEr x 100; 95 % intervals over products; tokens: {first['tokenizer']}"]
    notes += notes_of({record["model"]["path"]: record for record in comparison.results})
    names = list(dict.fromkeys(name for record in comparison.results for name in record["metrics"]))
    return metrics_table(comparison, names, title, "\n".join(notes))
