"""Brings the changelog and the results (each README of benchmarks/results, with what it shows or links to) into the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FIGURES = ("study/main/boutique/figure.png",)  # that other pages show
LINK = re.compile(r"\]\(([^)]+)\)")


def on_files(files: Files, config: Any) -> Files:
    """MkDocs' hook: adds the changelog, ``results/NAME/README.md`` and the pictures in it to the site's files."""
    files.append(File.generated(config, "changelog.md", content=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    for page in sorted(RESULTS.glob("*/README.md")):
        text = page.read_text(encoding="utf-8").replace("](../../../docs/", "](../../")
        files.append(File.generated(config, f"results/{page.parent.name}/README.md", content=text))
        for link in LINK.findall(text):
            if not link.endswith(".md") and (page.parent / link).is_file():
                files.append(_copy(config, f"{page.parent.name}/{link}"))
    for figure in FIGURES:
        if files.get_file_from_path(f"results/{figure}") is None:
            files.append(_copy(config, figure))
    return files


def _copy(config: Any, name: str) -> File:
    return File.generated(config, f"results/{name}", abs_src_path=str(RESULTS / name))
