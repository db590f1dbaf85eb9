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
from e2.training.run import data_columns


@dataclass(frozen=True)
class Variant:
    """One kind of training.

    Attributes:
        label: its name in tables, figures and files.
        settings: changes of the study's common training, by dotted name as in `e2 train --set`, e.g. ``{"method": "clip"}`` or
            ``{"model.selector": "soft"}``; they override the user's settings.
        against: labels of the variants to compare it with, in paired differences.
        series, x: curve and position in a figure over a number (batch size, parameters).
    """

    label: str
    settings: Mapping[str, Any]
    against: tuple[str, ...] = ()
    series: str | None = None
    x: float | None = None


@dataclass(frozen=True)
class StudyMeasurement:
    """Measurements of one encoder.

    Attributes:
        metrics: name -> value; percent unless the name says otherwise.
        items: metric -> contribution of each of the split's P products, for intervals: (P,) values whose mean is the metric
            (NaN: none), or (P, T, 2) sums and counts, the metric being the sum over T terms of ``sums.sum(0) / counts.sum(0)``
            (SumR has six). A metric without items is reported without an interval.
    """

    metrics: dict[str, float]
    items: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """Settings of a study.

    Attributes:
        data: the SPECs; training studies take one, ``dataset`` several.
        out, runs: folders of the results, and of the trainings, which studies may share.
        common: settings shared by all trainings; its seed is not used, its kind of text is also evaluated.
        seeds: of the trainings.
        split: to evaluate.
        chosen: labels of the variants to run; None = all.
        old_data: ``forgetting`` only: SPEC of data that the start model knows.
    """

    data: tuple[str, ...]
    out: Path
    runs: Path
    common: TrainConfig = TrainConfig()
    seeds: tuple[int, ...] = (0,)
    split: str = "test"
    chosen: tuple[str, ...] | None = None
    old_data: str | None = None

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
    """The same at one place of a scale, ``METHOD@PLACE``; a curve per method runs through the places."""
    return [
        Variant(f"{one.label}@{place}", {**one.settings, **settings}, tuple(f"{o}@{place}" for o in one.against), one.label, x)
        for one in methods(*METHODS)
    ]
