"""Studies by name. A new one is one module with a ``STUDY``, and one line here.

A study's ``run(context)`` writes ``metrics.json``, tables and figures into ``context.out`` and returns the record.
"""

import importlib
from typing import Any

from e2.errors import InputError

STUDIES = {  # name -> module of this package
    "main": "main",
    "controls": "controls",
    "groups": "groups",
    "modules": "modules",
    "tokens": "tokens",
    "batch-size": "batch_size",
    "backbone": "backbone",
    "forgetting": "forgetting",
    "probe": "probe",
    "tags": "tags",
    "gap": "gap",
    "detail": "detail",
    "grounding": "grounding",
    "dataset": "dataset",
}


def study_named(name: str) -> Any:
    """Returns the study of that name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}; choose one of {', '.join(STUDIES)}")
    return importlib.import_module(f"e2.benchmarks.studies.{STUDIES[name]}").STUDY
