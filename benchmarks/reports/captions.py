"""Compares captioners on one page, from folders of `e2 evaluate captioning`, for `e2 report captions`."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from e2.adapters.encoder import Encoder, load_encoder
from e2.benchmarks.core.items import CATEGORY
from e2.benchmarks.grounding.selection_picture import lit
from e2.benchmarks.reports.caption_runs import CaptionRun, read_runs
from e2.benchmarks.reports.caption_tables import difference_table, score_table
from e2.benchmarks.reports.charts import Ridges, ridges
from e2.benchmarks.reports.page import write_page
from e2.benchmarks.reports.pictures import data_uri
from e2.benchmarks.reports.tables import write_texts
from e2.counting import counted
from e2.data import Catalogue, Product, load_image
from e2.data.product import without_photos
from e2.errors import InputError
from e2.options import TableOptions
from e2.outputs import claim_results
from e2.settings import flattened

PAGE, MARKDOWN, LATEX = "index.html", "tables.md", "tables.tex"
PHOTO, LOOK = 256, 224  # pixels
WORST, TELLING, LOOKS = 6, 12, 6  # products shown: worst of a captioner, telling two apart, with selections
CHARTS = ("BLEU@1", "BLEU@4", "METEOR", "ROUGE-L", "CIDEr")
MAIN = ("METEOR", "ROUGE-L")  # the first that all runs have orders the gallery
BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")  # would break the order of what follows
UNSHOWN = ("metrics", "ci95", "reference_tags", "missing", "notes", "entities")  # facts shown elsewhere, or not at all


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    data: str | None = None,
    encoder: str | None = None,
    products: int = 200,
    table: TableOptions | None = None,
    seed: int = 0,
) -> Path:
    """Writes ``index.html``, ``tables.md`` and ``tables.tex``.

    Args:
        folders: of ``e2 evaluate captioning --out``: of one captioner, or of a comparison of several.
        out: folder to write to.
        data: SPEC of the photos; None: that of the evaluation.
        encoder: encoder whose selection tokens are shown; None: that of the first captioner that has one with tokens.
        products: number in the gallery.
        table: how the catalogue's tables are read.
        seed: of the random selection of further products.

    Returns:
        The page's path.

    Raises:
        InputError: folders without results, or results of different products; photos that cannot be found.
    """
    claim_results(Path(out), PAGE, MARKDOWN, LATEX)
    runs, differences = read_runs(folders)
    metrics = [name for name in runs[0].rows[0]["scores"] if all(name in run.rows[0]["scores"] for run in runs)]
    main = next(name for name in MAIN if name in metrics)
    worst = [list(np.argsort(run.values(main), kind="stable")[:WORST]) for run in runs]
    rows = choose_products(runs, worst, main, products, seed)
    catalogue, places = _photos_of(runs[0], data, table or TableOptions())
    shown = [catalogue[places[row["product_id"]]] for row in (runs[0].rows[row] for row in rows)]
    looks = _looks(encoder, runs, shown[:: max(1, len(shown) // LOOKS)][:LOOKS])
    scores, compared = score_table(runs, differences), difference_table(differences, runs)
    first = runs[0].record
    page = Path(out) / PAGE
    write_page(
        page,
        "captions.html",
        title="Captions, side by side" if len(runs) > 1 else "Captions",
        kicker="e2 report captions",
        lead=f"{first['n']:,} products of {first['dataset']}, split {first['split']}; references: {first['text']}",
        sections=[(name.lower(), name) for name in ("Scores", "Distributions", "Gallery", "Worst", "Tokens", "Settings")],
        names=[run.name for run in runs],
        n=f"{len(runs[0].rows):,}",
        scores=scores,
        differences=compared,
        charts=_charts(runs, metrics),
        gallery_note=_gallery_note(len(rows), len(runs[0].rows), len(runs)),
        worst_metric=main,
        settings=_settings(runs),
        data=_page_data(runs, rows, shown, worst, metrics, main),
        **looks,
    )
    write_texts(Path(out), (MARKDOWN, LATEX), [scores, *filter(None, [compared])])
    return page


def choose_products(
    runs: Sequence[CaptionRun], worst: Sequence[Sequence[int]], metric: str, limit: int, seed: int
) -> list[int]:
    """Chooses rows for the gallery, in order: each captioner's worst, those on which two captioners differ most, then a
    sample with sub-categories in turn. All worst cases are included whatever the limit.
    """
    telling = dict.fromkeys(row for rows in worst for row in rows)
    for first, second in itertools.permutations(runs, 2):
        lead = first.values(metric) - second.values(metric)
        telling |= dict.fromkeys(np.argsort(-lead, kind="stable")[:TELLING])
    chosen = list(telling)[: max(limit, sum(map(len, worst)))]
    shelves: dict[Any, list[int]] = {}
    for row in np.random.default_rng(seed).permutation(len(runs[0].rows)):
        shelves.setdefault(runs[0].rows[row][CATEGORY], []).append(row)
    turns = (row for turn in itertools.zip_longest(*shelves.values()) for row in turn if row is not None)
    return sorted(map(int, dict.fromkeys([*chosen, *itertools.islice(turns, max(0, limit - len(chosen)))])))


def _charts(runs: Sequence[CaptionRun], metrics: Sequence[str]) -> list[Ridges]:
    tops = {name: None if name == "CIDEr" else 100.0 for name in CHARTS if name in metrics}
    charts = [ridges(name, [run.values(name) for run in runs], top) for name, top in tops.items()]
    lengths = [np.array([len(row["caption"].split()) for row in run.rows], dtype=float) for run in runs]
    return [*charts, ridges("words", lengths)]


def _gallery_note(shown: int, total: int, runs: int) -> str:
    if shown == total:
        return f"All {counted(total, 'product')}."
    kinds = "the worst of each captioner, those on which captioners differ most" if runs > 1 else "the worst"
    return f"{shown:,} of {counted(total, 'product')}: {kinds}, and a sample over all sub-categories."


def _page_data(
    runs: Sequence[CaptionRun],
    rows: Sequence[int],
    products: Sequence[Product],
    worst: Sequence[Sequence[int]],
    metrics: Sequence[str],
    main: str,
) -> dict[str, Any]:
    """Data for the page's script; products are numbered as in the gallery."""
    categories = sorted({runs[0].rows[row][CATEGORY] or "none" for row in rows})
    places = {row: place for place, row in enumerate(rows)}
    return {
        "names": [run.name for run in runs],
        "metrics": list(metrics),
        "main": list(metrics).index(main),
        "categories": categories,
        "worst": [[places[int(row)] for row in found] for found in worst],
        "products": [
            {
                "id": runs[0].rows[row]["product_id"],
                "category": categories.index(runs[0].rows[row][CATEGORY] or "none"),
                "photo": data_uri(load_image(product.images[0]), PHOTO),
                "tags": [[entity.replace("_", " "), value] for entity, value in runs[0].rows[row]["tags"].items()],
                "references": runs[0].rows[row]["references"],
                "captions": [_caption(run.rows[row], metrics) for run in runs],
            }
            for row, product in zip(rows, products, strict=True)
        ],
    }


def _caption(row: dict[str, Any], metrics: Sequence[str]) -> dict[str, Any]:
    scores = [round(row["scores"][name], 2) for name in metrics]
    return {"text": row["caption"].translate(BIDI), "scores": scores, "marks": _marks(row["mentions"])}


def _marks(mentions: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    """Start, end, kind and explanation of each marked span; with values of several entities it is right if any is."""
    spans: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for mention in mentions:
        spans.setdefault((mention["start"], mention["end"]), []).append(mention)
    marks = []
    for (start, end), found in sorted(spans.items()):
        verdicts = [mention["right"] for mention in found]
        kind = "right" if True in verdicts else "wrong" if False in verdicts else "open"
        names = ", ".join(dict.fromkeys(f"{m['entity'].replace('_', ' ')}: {m['value']}" for m in found))
        marks.append([start, end, kind, f"{kind if kind != 'open' else 'not known'} ({names})"])
    return marks


def _photos_of(run: CaptionRun, data: str | None, table: TableOptions) -> tuple[Catalogue, dict[str, int]]:
    """The catalogue, and each product's row in it."""
    spec, split = data or run.record["dataset"], run.record["split"]
    try:
        catalogue = table.open(spec, split)
    except InputError as error:
        raise InputError(f"the photos cannot be found ({error}); say where they are by --data") from error
    places = {product.product_id: row for row, product in enumerate(without_photos(catalogue))}
    if missing := [row["product_id"] for row in run.rows if row["product_id"] not in places]:
        raise InputError(f"{spec} split {split} lacks {len(missing):,} of the products (first: {missing[0]}); check --data")
    return catalogue, places


def _looks(name: str | None, runs: Sequence[CaptionRun], products: Sequence[Product]) -> dict[str, Any]:
    """Data for the section on selection tokens."""
    for path in [name] if name else _encoders_of(runs):
        encoder = load_encoder(path, device="cpu", workers=0)
        if encoder.tags:
            tags = {row["product_id"]: row["tags"] for row in runs[0].rows}
            looks = _looked_at(encoder, products, [tags[product.product_id] for product in products])
            return {"looks": looks, "looks_encoder": path, "looks_reason": ""}
    if name:
        raise InputError(f"{name} has no selection tokens; give --encoder a model trained by `e2 train --method e2`")
    reason = "None of the captioners' encoders has selection tokens, or none is here."
    return {"looks": [], "looks_encoder": "", "looks_reason": reason}


def _encoders_of(runs: Sequence[CaptionRun]) -> list[str]:
    """Encoders of the captioners that still exist at their paths."""
    named = (run.record["model"].get("encoder") for run in runs)
    paths = (found["path"] for found in named if isinstance(found, dict) and "path" in found)
    return [path for path in dict.fromkeys(paths) if Path(path).is_dir()]


def _looked_at(encoder: Encoder, products: Sequence[Product], tags: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    photos = [load_image(product.images[0]).resize((LOOK, LOOK)) for product in products]
    chosen = encoder.selections(photos)  # entity -> {layer: (B, k, rows, columns)}
    looks = []
    for row, (product, photo) in enumerate(zip(products, photos, strict=True)):
        parts = []
        for entity, layers in chosen.items():
            picture = Image.fromarray(lit(photo, {layer: weights[row].sum(axis=0) for layer, weights in layers.items()}))
            title = ": ".join([entity.replace("_", " "), *filter(None, [tags[row].get(entity)])])
            parts.append({"picture": data_uri(picture, LOOK), "title": title})
        looks.append({"photo": data_uri(photo, LOOK), "name": product.product_id, "parts": parts})
    return looks


def _settings(runs: Sequence[CaptionRun]) -> dict[str, list[str]]:
    """Settings of all runs, flat: ``model.path`` and so on."""
    flat = [flattened({key: value for key, value in run.record.items() if key not in UNSHOWN}) for run in runs]
    known = [{key: str(value) for key, value in found.items() if value is not None} for found in flat]
    return {key: [found.get(key, "–") for found in known] for key in dict.fromkeys(key for found in known for key in found)}
