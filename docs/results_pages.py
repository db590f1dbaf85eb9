"""Brings the committed results into the site: the README of each folder of benchmarks/results, with its pictures."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
FIGURES = ("study/main/boutique/figure.png",)  # that other pages show
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """MkDocs' hook: adds ``results/NAME/README.md`` and the pictures in it to the site's files."""
    for page in sorted(RESULTS.glob("*/README.md")):
        text = page.read_text(encoding="utf-8")
        files.append(File.generated(config, f"results/{page.parent.name}/README.md", content=text))
        for picture in PICTURE.findall(text):
            files.append(_picture(config, f"{page.parent.name}/{picture}"))
    for figure in FIGURES:
        if files.get_file_from_path(f"results/{figure}") is None:
            files.append(_picture(config, figure))
    return files


def _picture(config: Any, name: str) -> File:
    return File.generated(config, f"results/{name}", abs_src_path=str(RESULTS / name))
