"""Compares CapDec's noise variances, as the paper's value suits one encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.captioning.fit import fit_captioner
from e2.adapters.captioning.noise import PAPER_VARIANCE, cosine_of_variance
from e2.adapters.encoder import Encoder
from e2.data.images import load_image
from e2.data.product import Catalogue
from e2.errors import InputError
from e2.extras import extra
from e2.wide_table import WideTable

with extra("captioning", "BLEU of a sweep"):
    from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

VARIANCES = (0.0, 0.001, 0.004, PAPER_VARIANCE, 0.03, 0.06)
Scorer = Callable[[list[str], list[list[str]]], dict[str, float]]  # captions, references of each -> named scores


def sweep_variances(
    encoder: Encoder,
    texts: Catalogue,
    photos: Catalogue,
    out: str | Path,
    *,
    variances: Sequence[float] = VARIANCES,
    count: int = 500,
    scorer: Scorer | None = None,
    decoding: dict[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> list[dict[str, float]]:
    """Fits one CapDec per variance and scores its captions of held-out photos.

    Args:
        texts: training texts.
        photos: held-out products (not the ones of the final test), whose captions are the references.
        out: folder; each captioner is in ``OUT/variance-V``; finished ones are kept.
        variances: per component.
        count: most photos.
        scorer: captions, references of each -> scores; None: BLEU@1 and BLEU@4 by `nltk_scores`.
        decoding: options of `Decoding`.
        settings: of `CaptionerConfig`.

    Returns:
        Per variance ``variance``, ``noise_cosine``, ``val_loss`` and the scores.
    """
    if not variances or min(variances) < 0:
        raise InputError("the sweep needs one variance or more, none negative, e.g. --variances 0,0.004,0.016")
    products = [photos[int(row)] for row in np.unique(np.linspace(0, len(photos) - 1, min(count, len(photos))).astype(int))]
    images = encoder.encode_images([load_image(product.images[0]) for product in products], progress=progress)
    references = [list(product.captions) for product in products]
    rows = []
    for variance in variances:
        folder = Path(out) / f"variance-{variance:g}"
        options = {"variance": variance, "resume": True, "progress": progress, **settings}
        captioner = fit_captioner("capdec", encoder, texts, folder, **options)
        captions = captioner.caption_features(images, **(decoding or {}))
        row = {"variance": variance, "noise_cosine": cosine_of_variance(variance, images.shape[1])}
        rows.append(row | {"val_loss": captioner.training["val_loss"]} | (scorer or nltk_scores)(captions, references))
    return rows


def nltk_scores(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    """Computes corpus BLEU in percent on lower-cased words; for comparisons within a sweep, not with published results."""
    words = [caption.lower().split() for caption in captions]
    reference_words = [[text.lower().split() for text in texts] for texts in references]
    smooth = SmoothingFunction().method1  # a corpus of titles may share no four words
    weights = {"BLEU@1": (1.0,), "BLEU@4": (0.25,) * 4}
    return {
        name: 100 * float(corpus_bleu(reference_words, words, weights=w, smoothing_function=smooth))
        for name, w in weights.items()
    }


def sweep_table(rows: list[dict[str, float]]) -> WideTable:
    """Tabulates the rows for a terminal, the best value of each score bold."""
    table = WideTable(title="CapDec over noise variances")
    for name in rows[0]:
        table.add_column(name, justify="right")
    best = {name: max(row[name] for row in rows) for name in list(rows[0])[3:]}
    for row in rows:
        cells = [f"{value:.4g}" if name == "variance" else f"{value:.3f}" for name, value in row.items()]
        marked = zip(row, cells, strict=True)
        table.add_row(*(f"[bold]{cell}[/bold]" if best.get(name) == row[name] else cell for name, cell in marked))
    return table
