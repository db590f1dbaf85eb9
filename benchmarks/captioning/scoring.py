"""Scores captions product by product, and their corpus with intervals.

Every corpus score here is a function of per-product counts or values; the bootstrap resamples products, sums those, and
applies the same function (see `corpus_metrics`), with the same resamples for all captioners.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from e2.adapters.encoder import Encoder
from e2.benchmarks.captioning.meteor import meteor_score
from e2.benchmarks.captioning.metrics import BLEU, METRICS, CaptionScores, corpus_bleu, score_captions
from e2.benchmarks.captioning.subjects import Candidate, CaptionTruth
from e2.benchmarks.captioning.tag_scores import COUNTS, TagMention, is_right, rarely_named, tag_counts, tag_metrics
from e2.benchmarks.captioning.variety import distinct, words_and_repetition
from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.benchmarks.core.comparison import MeasuredEncoder, intervals
from e2.benchmarks.core.items import CATEGORY
from e2.benchmarks.core.records import metrics_record
from e2.counting import counted
from e2.errors import InputError, printable
from e2.ranks import TIE_POLICY, cross_modal_ranks


@dataclass(frozen=True)
class MeasuredCaptions:
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


def measure_captions(
    captions: dict[str, str], truth: CaptionTruth, encoder: Encoder | None, photos: torch.Tensor | None, java: str
) -> MeasuredCaptions:
    """Scores captions (product id -> caption) one by one; ``photos``: (P, D), for self-retrieval by the encoder."""
    scores = score_captions(captions, dict(zip(truth.product_ids, truth.references, strict=True)), java=java)
    mentions = [truth.vocabulary.find(caption) for caption in captions.values()]
    counts = tag_counts(mentions, truth.tags, truth.catalogue.tags)
    hits = None
    if encoder is not None and photos is not None:
        groups = torch.arange(len(photos))
        texts = torch.from_numpy(encoder.encode_texts(list(captions.values())))
        hits = cross_modal_ranks(photos, texts, groups, groups)[1].hits((1,))[:, 0].numpy()
    variety = words_and_repetition(scores.tokens)
    return MeasuredCaptions(captions, scores, mentions, counts, variety, hits, encoder.info if encoder else None)


def corpus_metrics(means: Mapping[str, np.ndarray], products: int, entities: Sequence[str]) -> dict[str, np.ndarray]:
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


def score(
    measured: MeasuredCaptions, candidate: Candidate, truth: CaptionTruth, text: str, seed: int, resamples: int, start: float
) -> MeasuredEncoder:
    """Builds a candidate's record, with scores of the whole corpus and their intervals; ``start``: of its measurement."""
    columns, entities, products = measured.columns(), truth.catalogue.tags, len(truth.product_ids)
    everything = np.concatenate(list(columns.values()), axis=1)
    if not np.isfinite(everything).all():
        raise InputError(f"{candidate.info['path']}: scores that are not finite; check the captions")
    drawn = resampled_means([Measure(everything, np.arange(products))], resamples=resamples, seed=seed)
    ends = np.cumsum([column.shape[1] for column in columns.values()])[:-1]
    samples = corpus_metrics(dict(zip(columns, np.split(drawn, ends, axis=1), strict=True)), products, entities)
    values = corpus_metrics({name: column.mean(axis=0) for name, column in columns.items()}, products, entities)
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
    count = f"{len(failed):,} of {counted(len(truth.product_ids), 'product')}"
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


def scored_rows(measured: MeasuredCaptions, truth: CaptionTruth) -> list[dict[str, Any]]:
    """Lists each product's caption beside its references, tags and scores, for ``captions.jsonl``."""
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
