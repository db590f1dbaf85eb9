"""Optional packages: an extra of the installation brings them, and one line says which where they are missing."""

import contextlib
import importlib.util
from collections.abc import Iterator

from e2.errors import InputError


@contextlib.contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Wraps imports of packages that the base installation lacks.

    Args:
        name: extra in pyproject.toml that brings them.
        purpose: what needs them, as the message begins.

    Raises:
        InputError: one is not installed, or too old; says how to install it.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package == "e2":
            raise  # a fault of ours
        raise _missing(name, purpose, package or name) from error


def require_extra(name: str, purpose: str, *modules: str) -> None:
    """Refuses to begin long work that will need packages of an extra later.

    Args:
        name: extra in pyproject.toml that brings them.
        purpose: what needs them, as the message begins.
        modules: what will be imported; it is looked for, not loaded.

    Raises:
        InputError: one is not installed; says how to install it.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(name, purpose, module)


def _missing(name: str, purpose: str, package: str) -> InputError:
    return InputError(f"{purpose} needs the package {package}: pip install 'e2-fashion[{name}]'")
