"""``boutique`` and ``boutique:train=4000,val=300,...``: the built-in catalogue, drawn once and then read as a table."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from e2.data import cache
from e2.data.tables import TableSource
from e2.errors import InputError

DEFAULTS = {"train": 4000, "val": 300, "test": 1000, "seed": 0, "size": 224}
DRAWING = "E2_DRAWING_BOUTIQUE"  # in the environment of the processes that draw: the id of the one that started them


class BoutiqueSource(TableSource):
    """The built-in catalogue; ``argument`` is what follows the colon of the SPEC."""

    entities = ("brand", "season", "sub_category", "composition", "colour")

    def __init__(self, argument: str):
        super().__init__(drawn_folder(parse_options(argument)))


def parse_options(argument: str) -> dict[str, int]:
    """``train=800,seed=1`` over the defaults."""
    options = dict(DEFAULTS)
    for part in filter(None, (part.strip() for part in argument.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in DEFAULTS:
            raise InputError(f"boutique: unknown option {name!r}; there are {', '.join(DEFAULTS)}")
        if not value.isdecimal():
            raise InputError(f"boutique: {name}={value!r} is not a whole number; write e.g. {name}=1000")
        options[name] = int(value)
    return options


def drawn_folder(options: dict[str, Any]) -> Path:
    """The cached folder of a drawn catalogue; draws it first if need be, while other processes wait."""
    from e2.data import boutique  # only this source needs what it draws with

    described = "-".join(f"{name}{value}" for name, value in options.items())
    folder = cache.cache_folder() / "boutique" / f"{described}-{_version(boutique)}"
    if folder.exists():
        return folder
    # A drawing process may run the caller's script anew and come here again: waiting for its parent would never end
    if os.environ.get(DRAWING, str(os.getpid())) != str(os.getpid()):
        raise InputError("boutique: draw under `if __name__ == '__main__':`, as drawing starts processes that import you")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with cache.one_at_a_time(folder, "draws the same catalogue"), _marked_environment():
            if not folder.exists():
                boutique.make_boutique(folder, **options)
    except OSError as error:
        raise InputError(f"cannot write {folder} ({error}); set E2_CACHE to a folder that can be written") from error
    return folder


@contextlib.contextmanager
def _marked_environment() -> Iterator[None]:
    os.environ[DRAWING] = str(os.getpid())
    try:
        yield
    finally:
        del os.environ[DRAWING]


def _version(package: ModuleType) -> str:
    """Changes with the drawing code, so that a catalogue drawn by an older one is never taken for the current."""
    (folder,) = package.__path__
    files = sorted(Path(folder).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
