"""Shows all results of studies and evaluations on one page that opens offline, for `e2 report study`.

A summary of each result comes first (``summary``), then where E2 is ahead and behind (``study_findings``), then all tables.
All sentences are made from the numbers by one rule.
"""

import base64
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from e2.adapters.encoder import Encoder, load_encoder
from e2.benchmarks.core.names import ends
from e2.benchmarks.grounding.selection_picture import draw_selections
from e2.benchmarks.reports.page import write_page
from e2.benchmarks.reports.pictures import data_uri
from e2.benchmarks.reports.study_examples import SIDE, Example, draw_examples, find_examples
from e2.benchmarks.reports.study_findings import AHEAD, BEHIND, OPEN, findings
from e2.benchmarks.reports.study_records import FIGURES, StudyResult, find_results, summary_of, tables_of
from e2.benchmarks.reports.tables import Table, write_texts
from e2.data import Catalogue
from e2.errors import InputError
from e2.files import atomic_path
from e2.outputs import claim_results

PAGE, MARKDOWN, LATEX, FOLDER = "index.html", "tables.md", "tables.tex", "figures"
SELECTIONS, EXAMPLES = "selections", "examples"
LOOKS, QUERIES = 4, 6  # products with overlays, retrieval examples
LONG, MOST = 14, 6  # rows of a table, items of a list; what is longer is collapsed


@dataclass(frozen=True)
class Section:
    """One result on the page; ``summary``: its sentences; ``figures``: (title, data URI)."""

    anchor: str
    title: str
    question: str
    where: str
    summary: list[Markup]
    figures: list[tuple[str, str]]
    tables: list[Table]


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    models: Sequence[str] = (),
    catalogue: Catalogue | None = None,
    text: str = "caption",
    seed: int = 0,
) -> Path:
    """Writes ``index.html``, ``tables.md``, ``tables.tex`` and every figure as PNG, SVG and PDF in ``figures/``.

    Args:
        folders: folders to search for results of `e2 study` and `e2 evaluate`.
        out: folder to write to.
        models: encoders shown at work, the baseline first; none: numbers only.
        catalogue: split to show them on; needed with ``models``.
        text: of the queries, ``caption`` or ``full``.
        seed: of the choice of products and queries.

    Returns:
        The page's path.

    Raises:
        InputError: folders without results, models without data or with data that have none of their tags, or an encoder
            that cannot be loaded.
    """
    out = Path(out)
    claim_results(out, PAGE, MARKDOWN, LATEX)
    results = find_results(folders)
    encoders = [load_encoder(name, device="cpu", workers=0) for name in models]
    _check_shown(encoders, catalogue)
    sections = [_section(result, place, out / FOLDER) for place, result in enumerate(results, start=1)]
    names = ends(models)
    looks, examples = "", []
    if catalogue is not None and encoders:
        looks = _selections(encoders, names, catalogue, out / FOLDER, seed)
        examples = find_examples(encoders, catalogue, text=text, count=QUERIES, seed=seed)
        draw_examples(examples, names, [out / FOLDER / f"{EXAMPLES}{ending}" for ending in FIGURES])
    found = findings(results)
    page = out / PAGE
    write_page(
        page,
        "study.html",
        title="Does E2 do what it promises?",
        kicker="e2 report study",
        lead="Selection tokens on a CLIP, measured on " + "; ".join(dict.fromkeys(result.products for result in results)),
        sections=_navigation(sections, looks, examples),
        results=sections,
        findings={verdict: [one for one in found if one.verdict == verdict] for verdict in (AHEAD, BEHIND, OPEN)},
        looks=looks,
        looks_names=names,
        examples=[_shown(example, names) for example in examples],
        sources=[_source(result) for result in results],
        long=LONG,
        most=MOST,
    )
    write_texts(out, (MARKDOWN, LATEX), [table for section in sections for table in section.tables])
    return page


def _check_shown(encoders: Sequence[Encoder], catalogue: Catalogue | None) -> None:
    """Refuses encoders without photos, and photos of products that have none of an encoder's tags."""
    if not encoders:
        return
    if catalogue is None:
        raise InputError("--model shows encoders at work: name the photos by --data")
    for encoder in encoders:
        if encoder.tags and not set(encoder.tags) & set(catalogue.tags):
            wanted = ",".join(encoder.tags)
            raise InputError(
                f"{encoder.info['path']} has tokens for {wanted}, and {catalogue.name} none of these tags; say --tags {wanted}"
            )


def _section(result: StudyResult, place: int, folder: Path) -> Section:
    """Tabulates a result, and copies all three forms of its figures."""
    anchor = f"{place}-{result.kind}"
    shown = []
    for figure in result.figures():
        name = anchor if figure.stem in ("figure", result.kind) else f"{anchor}-{figure.stem}"
        for source in filter(Path.is_file, (figure.with_suffix(ending) for ending in FIGURES)):
            with atomic_path(folder / f"{name}{source.suffix}") as temporary:
                shutil.copyfile(source, temporary)
        uri = "data:image/svg+xml;base64," + base64.b64encode(figure.read_bytes()).decode()
        shown.append((figure.stem.replace("_", " "), uri))
    return Section(anchor, result.title, result.question, result.where, summary_of(result), shown, tables_of(result))


def _selections(encoders: Sequence[Encoder], names: Sequence[str], catalogue: Catalogue, folder: Path, seed: int) -> str:
    """Draws the overlays of the first encoder with tokens, above the first without; as a data URI, empty without tokens."""
    tokens = next((encoder for encoder in encoders if encoder.tags), None)
    if tokens is None:
        return ""
    plain = next((place for place, encoder in enumerate(encoders) if not encoder.tags), None)
    beside: dict[str, Any] = {} if plain is None else {"plain": encoders[plain], "name": names[plain]}
    rows = np.random.default_rng(seed).permutation(len(catalogue))[:LOOKS]
    products = [catalogue[int(row)] for row in rows]
    for ending in FIGURES:
        draw_selections(tokens, products, folder / f"{SELECTIONS}{ending}", **beside)
    with Image.open(folder / f"{SELECTIONS}.png") as picture:
        return data_uri(picture, max(picture.size))


def _shown(example: Example, names: Sequence[str]) -> dict[str, Any]:
    found = []
    for name, rank, hits in zip(names, example.ranks, example.hits, strict=True):
        shown = [{"photo": data_uri(hit.photo, SIDE), "id": hit.product_id, "right": hit.right} for hit in hits]
        found.append({"name": name, "rank": rank, "hits": shown})
    return {"text": example.text, "found": found}


def _navigation(sections: Sequence[Section], looks: str, examples: Sequence[Example]) -> list[tuple[str, str]]:
    titles = [section.title for section in sections]
    labels = [one.title if titles.count(one.title) == 1 else f"{one.title}: {one.where}" for one in sections]
    parts = [("summary", "In short"), ("claims", "Where E2 is ahead"), ("losses", "Where it is behind")]
    parts += [(section.anchor, label) for section, label in zip(sections, labels, strict=True)]
    parts += [("looks", "Tokens at work")] if looks else []
    parts += [("examples", "Retrieval examples")] if examples else []
    return [*parts, ("sources", "Sources")]


def _source(result: StudyResult) -> dict[str, str]:
    """Source of a result, for those who want to check it."""
    record = result.records[0]
    seeds = record["seed"] if isinstance(record["seed"], list) else [record["seed"]]
    paths = [one["model"]["path"] for one in result.records] if not result.study else []
    trainings = len(record.get("runs", []))
    return {
        "result": result.title,
        "data": f"{record['dataset']}, {record['split']}, text {record['text']}",
        "folder": str(result.folder),
        "seeds": ", ".join(str(seed) for seed in seeds if seed is not None) or "–",
        "models": ", ".join(paths) or (f"{trainings} trainings" if trainings else "–"),
        "commit": record.get("commit") or "–",
        "version": record["version"],
    }
