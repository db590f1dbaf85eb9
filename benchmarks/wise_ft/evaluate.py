"""Evaluates weights between a start model and its trained version on new and old data, for `e2 wise-ft`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from e2.adapters.encoder import load_encoder
from e2.benchmarks.retrieval.evaluate import evaluate_retrieval
from e2.checkpoint import CONFIG, TOKENIZER, WEIGHTS, read_config, read_metadata, tensors_sha256, write_weights
from e2.data.product import Catalogue
from e2.distributed import on_main, processes
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.outputs import claim_results
from e2.training.wise_ft import MARK, both_ends, check_alpha, interpolated
from e2.wide_table import WideTable

NAME = "wise_ft.json"


def sweep(
    folder: Path,
    alphas: Sequence[float],
    catalogues: Sequence[Catalogue],
    out: Path,
    *,
    protocol: str = "full",
    text: str = "caption",
    seed: int = 0,
    save: float | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Evaluates retrieval at every alpha and writes ``OUT/wise_ft.json``.

    Args:
        folder: a run that started from pre-trained weights.
        alphas: shares of the trained weights, 0 to 1.
        catalogues: new data and, if given, old data.
        protocol, text, seed: of ``evaluate_retrieval``.
        save: also write the model of this alpha to ``out`` as a checkpoint.
        options: of `load_encoder`.

    Returns:
        One entry per alpha: ``alpha`` and ``results``, one record per catalogue.

    Raises:
        InputError: a run that cannot be interpolated, an alpha out of range, an existing checkpoint in ``out``, or a cache
            for an image tower that learnt as a whole.
    """
    for alpha in (*alphas, *([] if save is None else [save])):
        check_alpha(alpha)
    if not alphas:
        raise InputError("--alphas is empty; write for example 0,0.5,1")
    claim_sweep(out, save)
    if options.get("cache") is not None:
        _require_frozen_layers(folder)
    start, trained = both_ends(folder)
    encoder = load_encoder(folder, **options)
    entries = []
    for alpha in alphas:
        weights = interpolated(start, trained, alpha)
        encoder.load_weights(weights, folder)
        encoder.info |= {"path": f"{folder} alpha {alpha:g}", "weights_sha256": tensors_sha256(weights)}
        records = [evaluate_retrieval([encoder], c, protocol=protocol, text=text, seed=seed).results[0] for c in catalogues]
        entries.append({"alpha": alpha, "results": [{**record, "model": dict(encoder.info)} for record in records]})
    if processes().is_main_process:
        write_json(out / NAME, {"model": str(folder), "sweep": entries})
    if save is not None:
        on_main(lambda: _save(folder, interpolated(start, trained, save), save, out))
    return entries


def _require_frozen_layers(folder: Path) -> None:
    optim = read_config(folder)["training"].get("optim") or {}
    if optim.get("image_layers") is None:
        raise InputError(
            f"--cache: the whole image tower of {folder} learnt, so that no two shares see a photo alike; leave out --cache"
        )


def claim_sweep(out: Path, save: float | None) -> None:
    """Refuses, before any work, a folder that `sweep` could not write to.

    Raises:
        InputError: it holds a checkpoint, or a file that e2 did not write.
    """
    claim_results(out, NAME)
    if (out / CONFIG).exists() or (save is not None and any((out / name).exists() for name in (WEIGHTS, TOKENIZER))):
        raise InputError(f"--out {out} holds a checkpoint; choose a new folder")


def _save(folder: Path, weights: dict, alpha: float, out: Path) -> None:
    """Saves a checkpoint like the run's own, with other weights."""
    write_weights(weights, out / WEIGHTS, {**read_metadata(folder / WEIGHTS), MARK: str(alpha)})
    if (folder / TOKENIZER).is_dir():
        shutil.copytree(folder / TOKENIZER, out / TOKENIZER, dirs_exist_ok=True)
    with atomic_path(out / CONFIG) as path:  # last: it makes the folder a checkpoint
        shutil.copyfile(folder / CONFIG, path)


def sweep_table(entries: Sequence[dict[str, Any]]) -> WideTable:
    """Tabulates SumR by alpha, a column per data set, the best of each marked."""
    table = WideTable("alpha", caption="SumR (95 % interval); 0 = start model, 1 = trained model; * = best of the column")
    columns = list(zip(*(entry["results"] for entry in entries), strict=True))
    for column in columns:
        table.add_column(Text("{dataset}, {split}".format_map(column[0])), justify="right")
    best = [max(record["metrics"]["SumR"] for record in column) for column in columns]
    for entry in entries:
        cells = []
        for record, top in zip(entry["results"], best, strict=True):
            value, (low, high) = record["metrics"]["SumR"], record["ci95"]["SumR"]
            cells.append(f"{value:.1f}{'*' if value == top else ' '} ({low:.1f} to {high:.1f})")
        table.add_row(f"{entry['alpha']:g}", *cells)
    return table
