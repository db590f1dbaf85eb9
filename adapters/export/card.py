"""Writes the model card of a trained encoder from its run: data, metrics with intervals, limits, licence, loading.

Every claim comes from a file; unknowns are stated as such.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.adapters.export.readme import PAGES
from e2.checkpoint import read_config, weights_sha256
from e2.errors import InputError

METRICS = "metrics.json"
LIBRARY = {"e2": "e2-fashion", "open_clip": "open_clip", "transformers": "transformers", "onnx": "onnx"}


def read_metrics(paths: Sequence[Path], model: Path) -> list[dict[str, Any]]:
    """Reads the results of ``e2 evaluate`` for a model.

    Args:
        paths: ``metrics.json`` files, or folders that hold one.
    """
    records, ours = [], weights_sha256(model)
    for path in paths:
        file = path / METRICS if path.is_dir() else path
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            measured = record["model"]["weights_sha256"]
            record["metrics"], record["ci95"], record["dataset"], record["split"], record["benchmark"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = "is missing" if not file.is_file() else "is not metrics.json of e2 evaluate, or is damaged"
            raise InputError(f"{file} {what}; evaluate again with --out") from error
        if measured != ours:
            raise InputError(
                f"{file} was measured on other weights than {model}; evaluate this model: e2 evaluate ... --out DIR"
            )
        records.append(record)
    return records


def model_card(
    model: Path, repo: str, format: str, *, metrics: Sequence[dict[str, Any]], licence: str | None, own_code: bool = False
) -> str:
    """Writes the text of README.md.

    Args:
        model: the checkpoint folder.
        repo: ORG/NAME.
        format: of the repository: e2, open_clip, transformers or onnx.
        metrics: records of :func:`read_metrics`.
        licence: identifier for the weights, e.g. cc-by-4.0; None = not stated.
        own_code: transformers must be allowed to run the folder's code.
    """
    config = read_config(model)
    return PAGES.get_template("card.md.jinja").render(
        header=_header(repo, format, metrics, licence),
        name=repo.partition("/")[2],
        repo=repo,
        format=format,
        config=config,
        training=config["training"],
        data=config["training"].get("data") or {},
        metrics=metrics,
        licence=licence,
        own_code=own_code,
    )


def _header(repo: str, format: str, metrics: Sequence[dict[str, Any]], licence: str | None) -> str:
    """Front matter that the hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="zero-shot-image-retrieval",
            dataset_type=_name(record["dataset"]),
            dataset_name=_name(record["dataset"]),
            dataset_split=record["split"],
            metric_type=metric,
            metric_name=f"{metric} ({record.get('protocol', record['benchmark'])})",
            metric_value=round(value, 2),
        )
        for record in metrics
        for metric, value in record["metrics"].items()
    ]
    return ModelCardData(
        license=licence or "other",
        library_name=LIBRARY[format],
        pipeline_tag="zero-shot-image-classification",
        tags=["clip", "fashion", "e2"],
        model_name=repo.partition("/")[2] if results else None,
        eval_results=results or None,
    ).to_yaml()


def _pixels(size: int | list[int]) -> str:
    return " x ".join(str(side) for side in (size if isinstance(size, list) else [size, size]))


def _name(path: str) -> str:
    """Last part of a path, for a code span: a card shows none of its author's folders."""
    return _code(Path(str(path)).name)


def _code(text: str) -> str:
    """Escapes untrusted text for a code span of Markdown."""
    return " ".join(str(text).replace("`", "'").split())


def _plain(text: str) -> str:
    """Escapes untrusted text for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in " ".join(str(text).split()))


PAGES.filters |= {"code": _code, "name": _name, "plain": _plain, "pixels": _pixels}
