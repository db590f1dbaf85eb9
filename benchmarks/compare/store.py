"""Keeps what was measured of each model, so that a comparison is continued or extended without measuring a model again.

``OUT/NAME-KEY/`` holds ``metrics.json`` and ``samples.npy``, the bootstrap samples in the order of its ``ci95``. The key is of
everything that the numbers depend on: weights, data, settings, version.
"""

import json
import re
from pathlib import Path

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.compare.evaluate import CompareTasks
from e2.benchmarks.core.comparison import MeasuredEncoder
from e2.benchmarks.core.names import short_name
from e2.benchmarks.core.records import NAME
from e2.data.fingerprint import digest
from e2.files import atomic_path, write_json
from e2.version import __version__

SAMPLES = "samples.npy"
FORM = "3"  # of the measurement; another one makes all earlier ones stale


class MeasuredStore:
    """Measurements of one catalogue.

    Args:
        out: folder of the comparison.
        tasks: what is measured.
        data: fingerprint of the catalogue.
    """

    def __init__(self, out: Path, tasks: CompareTasks, data: str):
        self.out = out
        settings = [tasks.text, tasks.product_vector, tasks.seed, tasks.resamples]
        self.shared = [FORM, __version__, data, *map(str, settings)]

    def folder(self, encoder: Encoder) -> Path:
        """Folder of an encoder's measurement."""
        own = [encoder.info["weights_sha256"], encoder.info["path"], encoder.precision, encoder.device.type]
        name = re.sub(r"[^\w.-]+", "_", short_name(encoder.info["path"])).strip("._")
        return self.out / f"{name[:60]}-{digest([*self.shared, *own])[:12]}"

    def read(self, encoder: Encoder) -> MeasuredEncoder | None:
        """An earlier measurement; None if there is none, or a damaged one."""
        folder = self.folder(encoder)
        try:
            record = json.loads((folder / NAME).read_text(encoding="utf-8"))
            samples = np.load(folder / SAMPLES, allow_pickle=False)
            return MeasuredEncoder(record, dict(zip(record["ci95"], samples, strict=True)))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def write(self, encoder: Encoder, measured: MeasuredEncoder) -> None:
        """Writes a measurement, the record last."""
        folder = self.folder(encoder)
        with atomic_path(folder / SAMPLES) as path:
            np.save(path, np.stack([measured.samples[name] for name in measured.record["ci95"]]))
        write_json(folder / NAME, measured.record)
