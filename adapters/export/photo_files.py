"""Writes an export's preprocessing: the rule ``preprocess.json`` and, for Python without E2, ``preprocess.py``."""

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

from e2.adapters.export import preprocess
from e2.adapters.export.checks import largest_deviation
from e2.adapters.export.record import RULE_FILE
from e2.data import rgb

CODE_FILE = "preprocess.py"
IMPORT = "from e2.data.rgb import known_formats, trimmed, upright_rgb\n"
SIZES = ((40, 56), (90, 30), (33, 200), (7, 5))  # of sample photos


def save_preprocessing(rule: dict[str, Any], transform: Callable, folder: Path) -> None:
    """Writes both files and compares their result on photos with the encoder's own transform."""
    (folder / RULE_FILE).write_text(json.dumps(rule, indent=2) + "\n")
    (folder / CODE_FILE).write_text(Path(preprocess.__file__).read_text().replace(IMPORT, f"\n{_source(rgb)}\n"))
    pixels = runpy.run_path(str(folder / CODE_FILE))["pixels"]  # leaves no bytecode in the folder
    largest_deviation((transform(photo), pixels(photo)[0]) for photo in _photos())


def _source(module: ModuleType) -> str:
    """Module's code without its docstring."""
    return Path(str(module.__file__)).read_text().split('"""\n', 1)[1].strip()


def _photos() -> Iterator[Image.Image]:
    draw = np.random.default_rng(0)
    for width, height in SIZES:
        yield Image.fromarray(draw.integers(0, 256, (height, width, 4), dtype=np.uint8))  # half transparent
