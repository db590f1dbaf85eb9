"""Evaluates weights between a start model and its trained version on new and old data, for `e2 wise-ft`."""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text
from torch import Tensor

from e2.adapters.encoder import Encoder, load_encoder
from e2.benchmarks.core.comparison import Comparison
from e2.benchmarks.retrieval.evaluate import evaluate_retrieval
from e2.checkpoint import CONFIG, TOKENIZER, WEIGHTS, read_config, read_metadata, tensors_sha256, write_weights
from e2.config import TrainConfig
from e2.data.product import Catalogue
from e2.distributed import on_main, processes
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.outputs import claim_results
from e2.settings import from_dict
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
        One entry per alpha, ascending: ``alpha``; ``results``, one record per catalogue; ``differences``, from the largest
        alpha's, paired over products (none in its own entry).

    Raises:
        InputError: a run that cannot be interpolated, an alpha out of range or twice, an existing checkpoint in ``out``, or a
            cache for an image tower that learnt as a whole.
    """
    for alpha in (*alphas, *([] if save is None else [save])):
        check_alpha(alpha)
    if not alphas:
        raise InputError("--alphas is empty; write for example 0,0.5,1")
    claim_sweep(out, save)
    shares = _Shares(folder, sorted(alphas, reverse=True), options)
    if options.get("cache") is not None:
        _require_frozen_layers(folder)
    measured = [evaluate_retrieval(shares, catalogue, protocol=protocol, text=text, seed=seed) for catalogue in catalogues]
    entries = [_entry(place, alpha, measured) for place, alpha in enumerate(shares.alphas)][::-1]
    if processes().is_main_process:
        write_json(out / NAME, {"model": str(folder), "sweep": entries})
    if save is not None:
        on_main(lambda: _save(folder, shares.weights(save), save, out))
    return entries


class _Shares(Sequence[Encoder]):
    """The models of a run at several shares, of which one is in memory at a time: reading one loads its weights."""

    def __init__(self, folder: Path, alphas: Sequence[float], options: dict[str, Any]):
        self.folder, self.alphas = folder, alphas
        self.start, self.trained = both_ends(folder)
        self.encoder = load_encoder(folder, **options)

    def __len__(self) -> int:
        return len(self.alphas)

    def __getitem__(self, place: Any) -> Any:
        alpha = self.alphas[place]
        weights = self.weights(alpha)
        self.encoder.load_weights(weights, self.folder)
        told = {"path": f"{self.folder} alpha {alpha:g}", "weights_sha256": tensors_sha256(weights)}
        self.encoder.info = {**self.encoder.info, **told}
        return self.encoder

    def weights(self, alpha: float) -> dict[str, Tensor]:
        return interpolated(self.start, self.trained, alpha)


def _entry(place: int, alpha: float, measured: Sequence[Comparison]) -> dict[str, Any]:
    """For each catalogue, the record of the alpha at ``place`` and its difference from the first, the largest."""
    # Of all pairs, those with the first come first.
    differences = [found.differences[place - 1] for found in measured] if place else []
    return {"alpha": alpha, "results": [found.results[place] for found in measured], "differences": differences}


def _require_frozen_layers(folder: Path) -> None:
    if from_dict(TrainConfig, read_config(folder)["training"], str(folder)).optim.image_layers is None:
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
    """Tabulates SumR by alpha, a column per data set, the best of each marked, and its difference from the largest alpha's."""
    caption = "SumR (95 % interval), and below it the paired difference from the largest alpha; 0 = start model, "
    table = WideTable("alpha", caption=caption + "1 = trained model; * = best of the column")
    columns = list(zip(*(entry["results"] for entry in entries), strict=True))
    for column in columns:
        table.add_column(Text("{dataset}, {split}".format_map(column[0])), justify="right")
    best = [max(record["metrics"]["SumR"] for record in column) for column in columns]
    for entry in entries:
        cells = []
        for record, top, less in itertools.zip_longest(entry["results"], best, entry["differences"]):
            value, (low, high) = record["metrics"]["SumR"], record["ci95"]["SumR"]
            cells.append(f"{value:.1f}{'*' if value == top else ' '} ({low:.1f} to {high:.1f})")
            if less is not None:
                low, high = less["ci95"]["SumR"]
                cells[-1] += f"\n{less['metrics']['SumR']:+.1f}  ({low:+.1f} to {high:+.1f})"
        table.add_row(f"{entry['alpha']:g}", *cells)
    return table
