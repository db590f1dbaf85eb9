"""Imports packages that only some data sources need."""

import importlib
from types import ModuleType

from e2.errors import InputError


def needed(package: str, source: str) -> ModuleType:
    """Imports a package of the extra ``sources``.

    Raises:
        InputError: it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{source} needs the package {package}: pip install 'e2-fashion[sources]'") from error
