"""`e2 study grounding`, trained for a moment; photos without boxes, so that windows stand in."""

from dataclasses import replace

import numpy as np
import pytest

import e2.benchmarks.studies.grounding as module
from e2.benchmarks.studies.grounding import STUDY, looks


def test_tokens_are_set_against_gradient_maps(context, monkeypatch):
    monkeypatch.setitem(module.PRODUCTS, "windows", 4)
    record = STUDY.run(replace(context, chosen=("clip", "e2")))
    assert set(record["metrics"]["clip"]) < set(record["metrics"]["e2"])
    e2, clip = record["metrics"]["e2"], record["metrics"]["clip"]
    assert e2["pointing"] == pytest.approx(np.mean([e2[f"pointing/tokens/{entity}"] for entity in context.entities]), abs=15)
    assert clip["mass"] == pytest.approx(np.mean([clip[f"mass/gradient/{entity}"] for entity in context.entities]), abs=15)
    (pair,) = record["differences"]
    assert pair["metrics"]["near"] == pytest.approx(e2["near"] - clip["near"])
    assert (context.out / "figure.svg").is_file() and "gradient map" in (context.out / "table.md").read_text()
    assert looks.__doc__
