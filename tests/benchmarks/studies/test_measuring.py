"""Studies that train from the cache measure from it, too, so that the tower runs once for all runs."""

import dataclasses

from e2.adapters.encoder import load_encoder
from e2.benchmarks.studies.base import methods
from e2.benchmarks.studies.retrieval import retrieval
from e2.benchmarks.studies.trained import TrainedStudy
from e2.settings import merged
from e2.training.fill_cache import CacheFiller


def test_study_fills_the_cache_of_the_measured_split_once(context, tmp_path, monkeypatch):
    filled = []
    fill = CacheFiller.fill
    monkeypatch.setattr(CacheFiller, "fill", lambda filler: filled.append(len(filler.cache.missing())) or fill(filler))
    shared = {"precision": "bf16", "data": {"cache": str(tmp_path / "cache")}, "optim": {"image_layers": 0}}
    context = dataclasses.replace(context, common=merged(context.common, shared))
    record = TrainedStudy("small", "Small", "Is it small?", lambda _: methods("clip", "multifield")).run(context)
    assert filled == [1, 1, 0, 0, 0, 0]  # train and val, which is what is measured; then nothing for the second run
    (run,) = context.runs.glob("*-multifield-0")
    encoder = load_encoder(run, device="cpu", precision="bf16", workers=0)
    assert record["metrics"]["multifield"] == retrieval(encoder, context.open("val"), context).metrics
