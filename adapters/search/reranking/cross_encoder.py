"""Re-ranks by a cross-encoder of sentence-transformers, which reads the query and a product's texts together.

R. Nogueira, K. Cho, "Passage Re-ranking with BERT" (arXiv 1901.04085).
"""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from e2.adapters.search.reranking.base import HitScores, RerankHit, RerankQuery, shown_name
from e2.errors import InputError, first_line
from e2.extras import extra
from e2.settings import Count, setting, settings


@settings
class CrossEncoderConfig:
    """Settings of a cross-encoder."""

    model: str = setting(..., "a local folder, or a name on the hub (may download)")
    top: Count = setting(20, "hits that are looked at")
    device: str = setting("cpu", "where it runs")


class CrossEncoder:
    """Scores products' descriptions and tags against the words of a query."""

    def __init__(self, config: CrossEncoderConfig):
        with extra("rerank", "a cross-encoder"):
            from sentence_transformers import CrossEncoder as Model

        try:
            self._model: Any = Model(config.model, device=config.device)
        except Exception as error:  # whatever a folder of someone else's makes the libraries raise
            raise InputError(
                f"cannot load cross-encoder {config.model!r}: {first_line(error)}; give a folder or a name on the hub"
            ) from error
        if (outputs := getattr(self._model, "num_labels", 1)) != 1:
            raise InputError(f"{config.model}: it tells {outputs} classes apart; a re-ranker gives one score")
        self.config = config
        self._lock = threading.Lock()  # fast tokenizers are not thread-safe

    @property
    def name(self) -> str:
        return shown_name(self.config.model)

    @property
    def top(self) -> int:
        return self.config.top

    def scores(self, question: RerankQuery, candidates: Sequence[RerankHit]) -> HitScores:
        words = ", ".join([*question.kept.values(), *filter(None, [question.words])])
        if not question.words:
            return _none(candidates, "it compares words, and there are none")
        with self._lock:
            found = self._model.predict([(words, each.text) for each in candidates], show_progress_bar=False)
        values = [float(score) if np.isfinite(score) else None for score in found]
        return HitScores(values, Counter({"its score is not a number": values.count(None)} if None in values else {}))


def _none(candidates: Sequence[RerankHit], reason: str) -> HitScores:
    return HitScores([None] * len(candidates), Counter({reason: len(candidates)}))
