"""File names and texts that UTF-8 cannot hold end no run: every writer writes them escaped, as JSON does."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from e2 import cli
from e2.adapters.captioning.files import read_captions, write_table
from e2.adapters.composed.base import Composed
from e2.adapters.search.catalogue import ComposedResult, save_found
from e2.adapters.search.store import IndexHit
from e2.benchmarks.captioning.files import read_rows, write_rows
from e2.benchmarks.composed.evaluate import _write_steps
from e2.errors import escaped
from e2.files import write_json

NAME = os.fsdecode(b"jupe_\xe9t\xe9.jpg") + " \ud83d"  # Latin-1 bytes of a file name, half a letter of a careless program


def metrics(folder: Path) -> object:
    write_json(folder / "metrics.json", {"path": NAME})
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["path"]


def rows(folder: Path) -> object:
    write_rows(folder / "rows", [{"product_id": NAME}])
    return read_rows(folder / "rows")[0]["product_id"]


def hits(folder: Path) -> object:
    hit = IndexHit(NAME, 0.5, caption=NAME, tags={"brand": NAME})
    save_found(ComposedResult(Image.new("RGB", (8, 8)), NAME, {}, {"caption": NAME}, [hit], [None]), folder)
    assert (folder / "hits.png").stat().st_size
    return json.loads((folder / "hits.json").read_text(encoding="utf-8"))["hits"][0]["product_id"]


def steps(folder: Path) -> object:
    _write_steps(folder / "steps", SimpleNamespace(query_names=[NAME]), [Composed(np.zeros((1, 2)), [{"wish": NAME}])])
    return json.loads((folder / "steps").read_text(encoding="utf-8"))["wish"]


@pytest.mark.parametrize("write", [metrics, rows, hits, steps])
def test_json_files_hold_any_name(write: Callable[[Path], object], tmp_path):
    assert write(tmp_path) == NAME


def test_tables_and_keys_hold_names_escaped(tmp_path):
    assert escaped("jupe_\udce9t\udce9.jpg") == r"jupe_\xe9t\xe9.jpg" and escaped("\ud83d") == r"\ud83d"
    assert escaped("Kleid äöü 红") == "Kleid äöü 红"
    write_table(lambda: iter([{"image": NAME, "caption": "a skirt"}]), tmp_path / "table.csv", "excel")
    assert list(read_captions(tmp_path / "table.csv").captions) == [escaped(NAME)]


def test_the_terminal_prints_any_name():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8")
    cli.print_any_name(stream)
    print(NAME, file=stream, flush=True)
    assert json.loads(f'"{written.getvalue().decode().strip()}"') == NAME
