"""Study `forgetting`: the old domain before and after fine-tuning, and between (WiSE-FT weights, ``e2.training.wise_ft``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.figures import GREY, colours, figure_file
from e2.benchmarks.core.items import read_items
from e2.benchmarks.retrieval.answers import answer
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant, every_method
from e2.benchmarks.studies.retrieval import retrieval_of
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue
from e2.errors import InputError
from e2.training.wise_ft import both_ends, interpolated

ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the trained weights; 0 = the start model


def variants(context: Context) -> list[Variant]:
    """Methods, fine-tuned from the same weights.

    Raises:
        InputError: no start model, or no data that it knows.
    """
    if context.common.pretrained is None:
        raise InputError("the study fine-tunes a model: name its weights by --pretrained")
    context.open_old()
    return every_method(context)


def both_domains(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``new/ALPHA/NAME`` and ``old/ALPHA/NAME`` for every share of the trained weights, e.g. ``old/0.4/SumR``.

    Old data are measured on the split of the same name, by their descriptions.

    Raises:
        InputError: a run that did not start from pre-trained weights.
    """
    folder = Path(encoder.info["path"])
    start, end = both_ends(folder)
    domains = {"new": (catalogue, context.text), "old": (context.open_old(), "caption")}
    measured = StudyMeasurement({}, {})
    for alpha in ALPHAS:
        encoder.load_weights(interpolated(start, end, alpha), folder)
        for domain, (products, text) in domains.items():
            found = retrieval_of(answer(encoder, read_items(products, text), None), len(products))
            measured.metrics.update({f"{domain}/{alpha:g}/{name}": value for name, value in found.metrics.items()})
            measured.items.update({f"{domain}/{alpha:g}/{name}": parts for name, parts in found.items.items()})
    return measured


def draw_paths(record: Mapping[str, Any], path: Path) -> None:
    """Draws SumR on old against new data: a path per variant from the start model to the trained one."""
    paint = colours(record["metrics"])
    with figure_file(path, (6.5, 5)) as (axes,):
        for label, metrics in record["metrics"].items():
            places = np.array([[metrics[f"{domain}/{alpha:g}/SumR"] for domain in ("new", "old")] for alpha in ALPHAS])
            axes.plot(*places.T, "-o", color=paint[label], markersize=5, linewidth=1.8, label=label)
            for alpha, place in zip(ALPHAS, places, strict=True):
                axes.annotate(f"{alpha:g}", place, xytext=(5, 4), textcoords="offset points", fontsize=8, color=GREY)
        axes.set(xlabel="SumR on new data", ylabel="SumR on old data")
        axes.set_title("0: start model, 1: trained, between: mixed weights")
        axes.grid(True)
        axes.legend(fontsize=9)


STUDY = TrainedStudy(
    name="forgetting",
    title="Forgetting",
    question="What does fine-tuning cost on the data that the start model knows, and do mixed weights save it?",
    variants=variants,
    measure=both_domains,
    columns=("new/0/SumR", "new/0.6/SumR", "new/1/SumR", "old/0/SumR", "old/0.6/SumR", "old/1/SumR"),
    headline="new/1/SumR",
    figure=draw_paths,
    note="In brackets: the share of the trained weights (0: start model).",
)
