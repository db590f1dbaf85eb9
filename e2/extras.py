"""Optional packages: an extra of the installation brings them, and one line says which where they are missing."""

import contextlib
from collections.abc import Iterator

from e2.errors import InputError


@contextlib.contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around imports of packages that the base installation lacks.

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
        raise InputError(f"{purpose} needs the package {package or name}: pip install 'e2-fashion[{name}]'") from error
