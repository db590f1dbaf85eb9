"""Describes a catalogue: sizes, tags, texts and overlaps of its splits, as a table, JSON and pictures."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape

from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.columns import Columns
from e2.data.info_plots import save_contact_sheet, save_tag_plot
from e2.data.product import full_text, values_of
from e2.data.sources import open_catalogue, splits_of
from e2.errors import in_brief
from e2.files import write_json
from e2.outputs import claim_results
from e2.progress import with_progress
from e2.wide_table import WideTable

TOP_VALUES = 10


def write_info(
    spec: str,
    out: Path | None,
    *,
    tags: Sequence[str] | None = None,
    columns: Columns | None = None,
    on_bad_row: str = "error",
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """Describes all splits of a data source; with ``out``, also writes info.json, tags.png and contact_sheet.png there.

    Text lengths are in tokens of CLIP's tokenizer, against its limit of 77. Returns what `catalogue_info` does.
    """
    if out is not None:
        claim_results(Path(out), "info.json", "tags.png", "contact_sheet.png")
    options: dict[str, Any] = {"tags": tags, "columns": columns, "on_bad_row": on_bad_row, "progress": progress}
    catalogues = {split: open_catalogue(spec, split, **options) for split in splits_of(spec)}
    from e2.backbones import clip_tokenizer  # takes seconds to import: not before the catalogue is known to be sound

    tokenizer = clip_tokenizer()
    info = catalogue_info(catalogues, tokenizer, tokenizer.context_length, progress=progress)
    if out is not None:
        write_json(Path(out) / "info.json", info)
        save_tag_plot(tag_counts(catalogues.values(), info["tags"]), out)
        save_contact_sheet(next(iter(catalogues.values())), out, seed=seed)
    return info


def catalogue_info(
    catalogues: Mapping[str, ArrowCatalogue | Subset], tokenizer: Any, context_length: int, *, progress: bool = True
) -> dict[str, Any]:
    """Describes the splits of one catalogue; texts of more tokens than ``context_length``, start and end included, are cut.

    Returns:
        A JSON-able dict: ``data``, ``tags``, ``context_length``, ``splits`` (split -> description), and ``shared_ids`` ("train
        & test" -> number of products in both; such products leak between splits).
    """
    first = next(iter(catalogues.values()))
    texts_only = {split: catalogue.text_only() for split, catalogue in catalogues.items()}
    ids = {split: {product.product_id for product in catalogue} for split, catalogue in texts_only.items()}
    return {
        "data": first.name,
        "tags": list(first.tags),
        "columns": list(first.columns),
        "context_length": context_length,
        "splits": {
            split: _split_info(catalogue, tokenizer, context_length, progress) for split, catalogue in texts_only.items()
        },
        "shared_ids": {f"{a} & {b}": len(ids[a] & ids[b]) for a, b in itertools.combinations(ids, 2)},
    }


def _split_info(catalogue: ArrowCatalogue | Subset, tokenizer: Any, limit: int, progress: bool) -> dict[str, Any]:
    words, tokens, images, full_over = [], [], 0, 0
    counts: dict[str, Counter[str]] = {entity: Counter() for entity in catalogue.tags}
    tagged, several = Counter[str](), Counter[str]()  # products with a value of an entity, with more than one
    for product in with_progress(catalogue, f"reading {catalogue.split}", len(catalogue), progress):
        images += len(product.images)
        for entity, tag in product.tags.items():
            values = values_of(tag)
            counts[entity].update(values)
            tagged[entity] += 1
            several[entity] += len(values) > 1
        for caption in product.captions:
            words.append(len(caption.split()))
            tokens.append(_tokens(tokenizer, caption))
            full_over += _tokens(tokenizer, full_text(caption, product.tags)) > limit
    return {
        "products": len(catalogue),
        "images": images,
        "captions": len(words),
        "bad_rows": dict(catalogue.bad_rows),
        "notes": dict(catalogue.notes),
        "caption_words_mean": round(sum(words) / len(words), 2),
        "caption_tokens_mean": round(sum(tokens) / len(tokens), 2),
        "caption_tokens_max": max(tokens),
        "over_context_length": {"caption": sum(count > limit for count in tokens), "full": full_over},
        "entities": {
            entity: _entity_info(values, len(catalogue), tagged[entity], several[entity]) for entity, values in counts.items()
        },
    }


def _tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text)) + 2  # start and end


def _entity_info(values: Counter[str], products: int, tagged: int, several: int) -> dict[str, Any]:
    missing = products - tagged
    return {
        "distinct": len(values),
        "once": sum(count == 1 for count in values.values()),
        "missing": missing,
        "missing_percent": round(100 * missing / products, 2),
        "several": several,
        "values_mean": round(values.total() / max(1, tagged), 2),
        "top": [[value, count] for value, count in values.most_common(TOP_VALUES)],
    }


def tag_counts(catalogues: Iterable[ArrowCatalogue | Subset], tags: Sequence[str]) -> dict[str, Counter[str]]:
    """Counts products: entity -> value -> number over several splits."""
    counts: dict[str, Counter[str]] = {entity: Counter() for entity in tags}
    for product in itertools.chain.from_iterable(catalogue.text_only() for catalogue in catalogues):
        for entity, tag in product.tags.items():
            counts[entity].update(values_of(tag))
    return counts


def info_table(info: Mapping[str, Any]) -> WideTable:
    """Tabulates the description for a terminal, a column per split."""
    table = WideTable(title=escape(info["data"]))
    table.add_column("")
    for split in info["splits"]:
        table.add_column(escape(split), justify="right")
    splits = info["splits"].values()
    limit = info["context_length"]
    for count in ("products", "images", "captions"):
        table.add_row(count, *(f"{split[count]:,}" for split in splits))
    table.add_row("words a caption", *(f"{split['caption_words_mean']:.1f}" for split in splits))
    table.add_row("tokens a caption", *(f"{split['caption_tokens_mean']:.1f}" for split in splits))
    for kind in ("caption", "full"):
        table.add_row(f"{kind} texts over {limit} tokens", *(f"{split['over_context_length'][kind]:,}" for split in splits))
    for cause in dict.fromkeys(itertools.chain.from_iterable(split["bad_rows"] for split in splits)):
        table.add_row(f"left out: {cause}", *(f"{split['bad_rows'].get(cause, 0):,}" for split in splits))
    for what in dict.fromkeys(itertools.chain.from_iterable(split["notes"] for split in splits)):
        counts = (sum(split["notes"].get(what, {}).values()) for split in splits)
        table.add_row(escape(what.partition(" (")[0]), *(f"{count:,}" for count in counts))
    for entity in info["tags"]:
        entities = [split["entities"][entity] for split in splits]
        table.add_section()
        table.add_row(f"{escape(entity)}: values", *(f"{found['distinct']:,}" for found in entities))
        table.add_row("  missing", *(f"{found['missing']:,} ({found['missing_percent']:.1f} %)" for found in entities))
        if any(found["several"] for found in entities):
            table.add_row(
                "  with several", *(f"{found['several']:,} ({found['values_mean']:.1f} a tag)" for found in entities)
            )
        table.add_row("  most frequent", *(_top_words(found["top"]) for found in entities))
    leaks = [f"{count:,} product ids are in both {pair}" for pair, count in info["shared_ids"].items() if count]
    if leaks:
        table.caption = escape("; ".join(leaks) + ": results there will be too good")
    return table


def _top_words(top: Sequence[tuple[str, int]]) -> str:
    return "\n".join(f"{escape(in_brief(value, 24))} {count:,}" for value, count in top[:3])
