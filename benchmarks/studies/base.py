"""Parts of a study: variants of one training, a measure, and the comparisons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.config import TrainConfig
from e2.data import ArrowCatalogue, Catalogue, open_catalogue
from e2.errors import InputError
from e2.training.splits import data_columns


@dataclass(frozen=True)
class Variant:
    """One kind of training."""

    label: str  # its name in tables, figures and files
    # changes of the study's common training, by dotted name as in `e2 train --set`, e.g. ``{"method": "clip"}`` or
    # ``{"model.selector": "soft"}``; they override the user's settings
    settings: Mapping[str, Any]
    against: tuple[str, ...] = ()  # labels of the variants to compare it with, in paired differences
    series: str | None = None  # series, x: curve and position in a figure over a number (batch size, parameters)
    x: float | None = None


@dataclass(frozen=True)
class StudyMeasurement:
    """Measurements of one encoder."""

    metrics: dict[str, float]  # name -> value; percent unless the name says otherwise
    # metric -> contribution of each of the split's P products, for intervals: (P,) values whose mean is the metric (NaN:
    # none), or (P, T, 2) sums and counts, the metric being the sum over T terms of ``sums.sum(0) / counts.sum(0)`` (SumR has
    # six). A metric without items is reported without an interval
    items: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Settings of a study."""

    data: tuple[str, ...]  # the SPECs; training studies take one, ``dataset`` several
    out: Path  # out, runs: folders of the results, and of the trainings, which studies may share
    runs: Path
    # settings shared by all trainings; its seed is not used, its kind of text is also evaluated
    common: TrainConfig = TrainConfig()
    seeds: tuple[int, ...] = (0,)  # of the trainings
    split: str = "test"  # to evaluate
    chosen: tuple[str, ...] | None = None  # labels of the variants to run; None = all
    old_data: str | None = None  # ``forgetting`` only: SPEC of data that the start model knows
    longer: float = 2.5  # ``controls`` only: times that the plain methods are trained as long, for equal compute

    @property
    def text(self) -> str:
        """Kind of text: ``caption`` or ``full``."""
        return self.common.data.measured_text

    def open(self, split: str, spec: str | None = None) -> ArrowCatalogue:
        """Opens a split of the study's catalogue, or of another with the same entities.

        Raises:
            InputError: no such data or split, or several catalogues where one is needed.
        """
        if spec is None and len(self.data) != 1:
            raise InputError(f"this study trains on one catalogue, --data names {len(self.data)}; give one")
        return self._open(spec or self.data[0], split, self.common.data.tags or None)

    def open_old(self) -> ArrowCatalogue:
        """Opens the evaluated split of ``old_data``, without entities, which the start model may not know.

        Raises:
            InputError: none was named, or it cannot be read.
        """
        if self.old_data is None:
            raise InputError("the study needs data that the start model is good at: name it by --old-data")
        return self._open(self.old_data, self.split, ())

    def _open(self, spec: str, split: str, tags: tuple[str, ...] | None) -> ArrowCatalogue:
        data = self.common.data
        return open_catalogue(spec, split, tags=tags, columns=data_columns(data), on_bad_row=data.on_bad_row)

    @cached_property
    def entities(self) -> tuple[str, ...]:
        """Entities to train on: the given ones, or else the catalogue's own."""
        return self.common.data.tags or self.open(self.split).tags


Measure = Callable[[Encoder, Catalogue, Context], StudyMeasurement]
Figure = Callable[[Mapping[str, Any], Path], None]  # the record, the file's path without its ending
METHODS = ("clip", "multifield", "e2")  # plain contrastive training, tags without tokens, both


def methods(*names: str, against: tuple[str, ...] = METHODS[:-1]) -> list[Variant]:
    """Makes a variant per training method, each compared with those of ``against`` before it."""
    return [
        Variant(name, {"method": name}, tuple(other for other in names[:place] if other in against))
        for place, name in enumerate(names)
    ]


def every_method(context: Context) -> list[Variant]:
    """Every method that tags can help, against plain contrastive training and against the control without tokens."""
    return methods(*METHODS)


def every_method_at(place: str, settings: Mapping[str, Any], x: float | None = None) -> list[Variant]:
    """Every method at one place of a scale, labelled ``METHOD@PLACE``; a curve per method runs through the places."""
    return [
        Variant(f"{one.label}@{place}", {**one.settings, **settings}, tuple(f"{o}@{place}" for o in one.against), one.label, x)
        for one in methods(*METHODS)
    ]
