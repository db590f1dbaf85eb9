"""Scores one or several captioners on a split, with intervals and paired differences, for `e2 evaluate captioning`.

Scores: COCO caption scores (`metrics`), named tags (`tag_scores`), variety (`variety`) and, given an encoder, retrieval of the
photo by its caption.

Every corpus score here is a function of per-product counts or values; the bootstrap resamples products, sums those, and
applies the same function (see `_metrics`), with the same resamples for all captioners.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from rich.console import RenderableType

from e2.adapters.captioning.files import SHOWN, read_captions
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.adapters.product_images import ProductImages
from e2.benchmarks.captioning import files as caption_files
from e2.benchmarks.captioning.meteor import meteor_score
from e2.benchmarks.captioning.metrics import BLEU, METRICS, CaptionScores, corpus_bleu, score_captions
from e2.benchmarks.captioning.notes import notes_of
from e2.benchmarks.captioning.tag_scores import (
    COUNTS,
    TagMention,
    TagVocabulary,
    is_right,
    rarely_named,
    tag_counts,
    tag_metrics,
)
from e2.benchmarks.captioning.variety import distinct, words_and_repetition
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import (
    COMPARISON,
    Comparison,
    MeasuredEncoder,
    check_different,
    compare,
    folder_name,
    intervals,
)
from e2.benchmarks.core.items import CATEGORY
from e2.benchmarks.core.records import NAME, metrics_record
from e2.benchmarks.core.tables import metrics_table
from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError, printable
from e2.files import write_json
from e2.outputs import claim_results
from e2.ranks import TIE_POLICY, cross_modal_ranks

WORDS = re.compile(r"\w")


Look = tuple[np.ndarray, np.ndarray | None]  # image embeddings (N, D), region embeddings (N, E, D) where captions need them


class WritesCaptions(Protocol):
    """Interface of captioners, as in `e2.adapters.captioning`."""

    encoder: Encoder
    info: dict[str, Any]

    @property
    def reads_regions(self) -> bool: ...

    def look(self, images: Sequence[ImageSource]) -> Look: ...

    def caption_features(self, image_features: np.ndarray, region_features: np.ndarray | None) -> list[str]: ...


@dataclass(frozen=True)
class Candidate:
    """Captions to score."""

    captions: Mapping[str, str]  # product id -> caption
    info: dict[str, Any]  # their origin, ``path`` first
    failed: Mapping[str, str] = field(default_factory=dict)  # product id -> why it has none; it counts as an empty caption
    notes: tuple[str, ...] = ()  # notes for readers of the scores

    @classmethod
    def from_file(cls, path: str | Path) -> "Candidate":
        """Reads captions from a file; see `e2.adapters.captioning.files`."""
        file = read_captions(path)
        further = f"captions of further photos of a product, not scored: {file.further:,}"
        return cls(file.captions, {"path": str(path), "method": "file"}, file.failed, (further,) if file.further else ())


@dataclass(frozen=True)
class CaptionTruth:
    """Ground truth for captions: P products in the catalogue's order, and the values that tags can have."""

    catalogue: ArrowCatalogue | Subset
    product_ids: list[str]
    references: list[list[str]]
    tags: list[Mapping[str, str]]
    vocabulary: TagVocabulary
    of: int  # products of the split, of which these are a part

    def only(self, rows: Sequence[int]) -> "CaptionTruth":
        """Selects some of the products."""
        return replace(
            self,
            catalogue=Subset(self.catalogue, rows),
            product_ids=[self.product_ids[row] for row in rows],
            references=[self.references[row] for row in rows],
            tags=[self.tags[row] for row in rows],
        )


def read_truth(
    catalogue: ArrowCatalogue | Subset,
    text: str = "caption",
    *,
    further: Sequence[Catalogue] = (),
    skip_wordless: bool = False,
) -> CaptionTruth:
    """Reads the catalogue's texts and tags in one pass.

    Args:
        catalogue: the split to evaluate on.
        text: the references, ``caption`` or ``full``.
        further: other splits, whose tag values a caption may name wrongly.
        skip_wordless: leave out products without a word in any reference, instead of refusing.

    Raises:
        InputError: an unknown kind of text, no products, or products without a word in their references.
    """
    require_text(text)
    products = list(without_photos(catalogue))
    references = [[product.text(text, i) for i in range(len(product.captions))] for product in products]
    kept = [row for row, texts in enumerate(references) if any(map(WORDS.search, texts))]
    if not kept or (len(kept) < len(products) and not skip_wordless):
        wordless = next((p.product_id for row, p in enumerate(products) if row not in set(kept)), "none is there")
        count = len(products) - len(kept)
        raise InputError(
            f"{catalogue.name} split {catalogue.split}: {count:,} of {len(products):,} products have no word in their "
            f"references (first: {wordless}); fix them, or leave them out by --on-bad-row skip"
        )
    ids, tags = [p.product_id for p in products], [p.tags for p in products]
    vocabulary = TagVocabulary([*tags, *(p.tags for other in further for p in without_photos(other))])
    truth = CaptionTruth(catalogue, ids, references, tags, vocabulary, of=len(products))
    return truth if len(kept) == len(products) else truth.only(kept)


def captioned_by_all(candidates: Sequence[Candidate | WritesCaptions], truth: CaptionTruth) -> CaptionTruth:
    """Selects the products that every file of captions covers, for comparison.

    Raises:
        InputError: there are none.
    """
    files = [candidate for candidate in candidates if isinstance(candidate, Candidate)]
    rows = [row for row, name in enumerate(truth.product_ids) if all(name in f.captions or name in f.failed for f in files)]
    if not rows:
        _require_captions(files[0], truth)  # says which ids the file has
        raise InputError("no product has a caption in every file; score them apart")
    return truth if len(rows) == len(truth.product_ids) else truth.only(rows)


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
    photos = torch.from_numpy(encoder.encode_images(images)) if encoder else None
    scored: list[MeasuredEncoder] = []
    looks: dict[Any, Look] = {}
    for candidate, folder in zip(candidates, folders, strict=True):
        start = time.perf_counter()
        if not isinstance(candidate, Candidate):
            written = write_captions(candidate, images, looks)
            candidate = Candidate(dict(zip(truth.product_ids, written, strict=True)), dict(candidate.info))
        _require_captions(candidate, truth)
        captions = {name: candidate.captions.get(name, "") for name in truth.product_ids}  # others' are ignored
        if folder:
            rows = ({"product_id": name, "caption": caption} for name, caption in captions.items())
            caption_files.write_rows(folder / caption_files.NAME, rows)
        measured = _measure(captions, truth, encoder, photos, java)
        scored.append(_score(measured, candidate, truth, text, seed, resamples, start))
        if folder:
            caption_files.write_rows(folder / caption_files.NAME, _rows(measured, truth))
            write_json(folder / NAME, scored[-1].record)
    comparison = compare(scored)
    if out is not None and len(scored) > 1:
        write_json(Path(out) / COMPARISON, asdict(comparison))
    return comparison


def write_captions(captioner: WritesCaptions, images: ProductImages, looks: dict[Any, Look]) -> list[str]:
    """Captions the photos; captioners of one encoder look at them once, and find what they need in ``looks``."""
    key = captioner.encoder.info["weights_sha256"], captioner.reads_regions
    if key not in looks:
        looks[key] = captioner.look(images)
    return captioner.caption_features(*looks[key])


@dataclass(frozen=True)
class _Measured:
    """Scores per product: COCO scores, tag mentions and counts, lengths and repetition, and self-retrieval hits."""

    captions: dict[str, str]
    scores: CaptionScores
    mentions: list[list[TagMention]]
    tags: np.ndarray  # (P, E, 4)
    variety: np.ndarray  # (P, 2)
    hits: np.ndarray | None  # (P,)
    encoder: dict[str, Any] | None

    def columns(self) -> dict[str, np.ndarray]:
        """Columns (P, K) that the corpus metrics are computed from."""
        found = dict(self.scores.counts)
        found |= {name: self.scores.per_caption[name][:, None] for name in ("ROUGE-L", "CIDEr") if name in self.scores.metrics}
        found |= {"tags": self.tags.reshape(len(self.tags), -1), "variety": self.variety}
        return found if self.hits is None else {**found, "hits": self.hits[:, None]}


def _measure(
    captions: dict[str, str], truth: CaptionTruth, encoder: Encoder | None, photos: torch.Tensor | None, java: str
) -> _Measured:
    scores = score_captions(captions, dict(zip(truth.product_ids, truth.references, strict=True)), java=java)
    mentions = [truth.vocabulary.find(caption) for caption in captions.values()]
    counts = tag_counts(mentions, truth.tags, truth.catalogue.tags)
    hits = None
    if encoder is not None and photos is not None:
        groups = torch.arange(len(photos))
        texts = torch.from_numpy(encoder.encode_texts(list(captions.values())))
        hits = cross_modal_ranks(photos, texts, groups, groups)[1].hits((1,))[:, 0].numpy()
    variety = words_and_repetition(scores.tokens)
    return _Measured(captions, scores, mentions, counts, variety, hits, encoder.info if encoder else None)


def _metrics(means: Mapping[str, np.ndarray], products: int, entities: Sequence[str]) -> dict[str, np.ndarray]:
    """Computes metrics (...) from columns averaged over products (..., K), for the corpus and every resample alike."""
    metrics: dict[str, np.ndarray] = {}
    bleu = 100 * corpus_bleu(products * means["BLEU"])
    metrics |= {name: bleu[..., place] for place, name in enumerate(BLEU)}
    if "METEOR" in means:
        metrics["METEOR"] = 100 * meteor_score(means["METEOR"])
    metrics |= {name: means[name][..., 0] for name in ("ROUGE-L", "CIDEr") if name in means}
    if entities:
        tags = means["tags"].reshape(*means["tags"].shape[:-1], len(entities), len(COUNTS))
        metrics |= tag_metrics(tags, entities)
    metrics["mean_length"] = means["variety"][..., 0]
    metrics["repetition"] = 100 * means["variety"][..., 1]
    if "hits" in means:
        metrics["self_retrieval_R@1"] = 100 * means["hits"][..., 0]
    return metrics


def _score(
    measured: _Measured, candidate: Candidate, truth: CaptionTruth, text: str, seed: int, resamples: int, start: float
) -> MeasuredEncoder:
    columns, entities, products = measured.columns(), truth.catalogue.tags, len(truth.product_ids)
    everything = np.concatenate(list(columns.values()), axis=1)
    if not np.isfinite(everything).all():
        raise InputError(f"{candidate.info['path']}: scores that are not finite; check the captions")
    drawn = resampled_means([Measure(everything, np.arange(products))], resamples=resamples, seed=seed)
    ends = np.cumsum([column.shape[1] for column in columns.values()])[:-1]
    samples = _metrics(dict(zip(columns, np.split(drawn, ends, axis=1), strict=True)), products, entities)
    values = _metrics({name: column.mean(axis=0) for name, column in columns.items()}, products, entities)
    unsaid = rarely_named(measured.tags.sum(axis=0), entities)
    metrics = _meaningful(values, unsaid)
    metrics |= measured.scores.metrics  # the scorers' own numbers; those above equal them to rounding
    ci95 = intervals({name: samples[name] for name in metrics})
    metrics |= {f"distinct-{n}": distinct(measured.scores.tokens, n) for n in (1, 2)}
    captions = list(measured.captions.values())
    metrics["unique_captions"] = 100 * len(set(captions)) / products
    facts: dict[str, Any] = {
        "tokenizer": measured.scores.tokenizer,
        "missing": measured.scores.missing | unsaid,
        "notes": [*measured.scores.notes, *candidate.notes, *_failures(candidate, truth)],
        "n_of": truth.of,
        "n_references": sum(map(len, truth.references)),
        "reference_tags": _reference_tags(truth),
        "self_retrieval": measured.encoder and {"encoder": measured.encoder, "tie_policy": TIE_POLICY},
        "bootstrap": {"resamples": resamples, "unit": "product"},
        "entities": list(entities),
    }
    facts |= {"model": candidate.info, "metrics": metrics, "ci95": ci95, "seconds": time.perf_counter() - start}
    record = metrics_record("captioning", "coco", truth.catalogue, text=text, seed=seed, **facts)
    return MeasuredEncoder(record, {name: samples[name] for name in ci95})


def _failures(candidate: Candidate, truth: CaptionTruth) -> list[str]:
    failed = [name for name in truth.product_ids if name in candidate.failed]
    first = f" (first: {printable(failed[0])}, {candidate.failed[failed[0]]})" if failed else ""
    count = f"{len(failed):,} of {len(truth.product_ids):,} products"
    return [f"{count} have an error in place of a caption and count as empty{first}"] if failed else []


def _reference_tags(truth: CaptionTruth) -> dict[str, float]:
    """Tag scores of the first references: what people name, a ceiling for captions."""
    entities = truth.catalogue.tags
    mentions = [truth.vocabulary.find(texts[0]) for texts in truth.references]
    counts = tag_counts(mentions, truth.tags, entities).sum(axis=0)
    return _meaningful(tag_metrics(counts, entities), rarely_named(counts, entities)) if entities else {}


def _meaningful(metrics: Mapping[str, np.ndarray], unsaid: Mapping[str, str]) -> dict[str, float]:
    """Leaves out precisions of tags that are hardly ever named."""
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value) and name not in unsaid}


def _rows(measured: _Measured, truth: CaptionTruth) -> list[dict[str, Any]]:
    rows = []
    for i, (product_id, caption) in enumerate(measured.captions.items()):
        scores = {name: float(measured.scores.per_caption[name][i]) for name in METRICS if name in measured.scores.per_caption}
        if measured.hits is not None:
            scores["self_retrieval_R@1"] = 100 * float(measured.hits[i])
        tags = dict(truth.tags[i])
        mentions = [{**asdict(m), "right": is_right(m, measured.mentions[i], tags)} for m in measured.mentions[i]]
        row = {"product_id": product_id, "caption": caption, "references": truth.references[i]}
        rows.append({**row, CATEGORY: tags.get(CATEGORY), "scores": scores, "tags": tags, "mentions": mentions})
    return rows


def _require_captions(candidate: Candidate, truth: CaptionTruth) -> None:
    missing = [name for name in truth.product_ids if name not in candidate.captions and name not in candidate.failed]
    if missing:
        own = ", ".join(printable(name) for name in [*candidate.captions, *candidate.failed][:SHOWN])
        raise InputError(
            f"{candidate.info['path']} has no caption for {len(missing):,} of {len(truth.product_ids):,} products of "
            f"{truth.catalogue.name} split {truth.catalogue.split} (first: {printable(missing[0])}; its own ids: {own}); "
            "check --data and --split, or score those that are there by --missing skip"
        )


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
