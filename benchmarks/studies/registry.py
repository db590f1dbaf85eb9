"""Studies by name. A new one is one module with a ``STUDY``, and one line here.

A study's ``run(context)`` writes ``metrics.json``, tables and figures into ``context.out`` and returns the record.
"""

import importlib
from typing import Any

from e2.errors import require_choice

STUDIES = (
    "main",
    "controls",
    "groups",
    "modules",
    "tokens",
    "batch-size",
    "backbone",
    "forgetting",
    "probe",
    "tags",
    "gap",
    "detail",
    "grounding",
    "dataset",
)


def study_named(name: str) -> Any:
    """Returns the study of that name.

    Raises:
        InputError: there is none of that name.
    """
    require_choice("study", name, STUDIES)
    return importlib.import_module(f"e2.benchmarks.studies.{name.replace('-', '_')}").STUDY
