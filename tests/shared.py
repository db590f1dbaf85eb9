"""Where the optional shared material lies: ``$E2_SHARED``, then a folder ``shared`` beside the project."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIXTURES = Path(__file__).parent / "fixtures"


def shared_path(relative: str) -> Path:
    """The path below the shared folder; skips the calling test where it is absent."""
    base = Path(os.environ.get("E2_SHARED", ROOT.parent / "shared"))
    path = base / relative
    if not path.exists():
        pytest.skip(f"{path} is absent: set E2_SHARED to the folder that holds {relative}")
    return path
