"""Studies by name. A new one is one module with a ``STUDY``, and one line here."""

import importlib
from typing import TYPE_CHECKING

from e2.errors import InputError

if TYPE_CHECKING:  # the command line imports this module only for the names
    from e2.benchmarks.studies.base import Study

STUDIES = {  # name -> module of this package
    "main": "main",
    "groups": "groups",
    "modules": "modules",
    "tokens": "tokens",
    "batch-size": "batch_size",
    "backbone": "backbone",
    "forgetting": "forgetting",
    "probe": "probe",
    "gap": "gap",
    "detail": "detail",
    "grounding": "grounding",
    "dataset": "dataset",
}


def study_named(name: str) -> "Study":
    """Returns the study of that name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in STUDIES:
        raise InputError(f"unknown study {name!r}; choose one of {', '.join(STUDIES)}")
    return importlib.import_module(f"e2.benchmarks.studies.{STUDIES[name]}").STUDY
