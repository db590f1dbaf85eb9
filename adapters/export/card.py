"""Writes the model card of a trained encoder from its run: data, metrics with intervals, limits, licence, loading.

Every claim comes from a file; unknowns are stated as such.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.checkpoint import read_config, weights_sha256
from e2.errors import InputError

METRICS = "metrics.json"
LOAD = {
    "e2": """import e2  # pip install e2-fashion

model, preprocess, tokenizer = e2.load("hf-hub:{repo}")""",
    "open_clip": """import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("hf-hub:{repo}")  # for upright RGB photos
tokenizer = open_clip.get_tokenizer("hf-hub:{repo}")""",
    "transformers": """from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("{repo}"{trust}).eval()
processor = AutoImageProcessor.from_pretrained("{repo}"{trust})  # for upright RGB photos; preprocess.py takes any
tokenizer = AutoTokenizer.from_pretrained("{repo}"{trust})""",
    "onnx": """import onnxruntime
from huggingface_hub import snapshot_download

folder = snapshot_download("{repo}")  # preprocess.py makes pixels of any photo
image = onnxruntime.InferenceSession(f"{{folder}}/image.onnx")
text = onnxruntime.InferenceSession(f"{{folder}}/text.onnx")""",
}
LIBRARY = {"e2": "e2-fashion", "open_clip": "open_clip", "transformers": "transformers", "onnx": "onnx"}
CARD = """---
{header}
---

# {name}

A CLIP for product photos: method `{method}` of the E2 code (after Qi, Zhao and Li, NeurIPS 2024), backbone `{backbone}`.
{entities}

## Load

```python
{load}
```

## Data

{data}

## Results

{results}

## Limits

{limits}

## Licence

{licence}
"""


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
            what = "is missing" if not file.is_file() else "is no metrics.json of e2 evaluate, or is damaged"
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
        format: format pushed: e2, open_clip, transformers or onnx.
        metrics: records of :func:`read_metrics`.
        licence: identifier for the weights, e.g. cc-by-4.0; None = not stated.
        own_code: transformers must be allowed to run the folder's code.
    """
    config = read_config(model)
    trust = ", trust_remote_code=True" if own_code else ""
    tags = config.get("tags") or []
    return CARD.format(
        header=_header(repo, format, metrics, licence),
        name=_plain(repo.partition("/")[2]),
        method=_code(config["method"]),
        backbone=_code(config["backbone"]),
        entities=f"\nBesides an embedding of the photo it gives one for each of: {_plain(', '.join(tags))}.\n" if tags else "",
        load=LOAD[format].format(repo=repo, trust=trust),
        data=_data(config["training"]),
        results=_results(metrics),
        limits=_limits(config, metrics),
        licence=_licence(licence),
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


def _data(training: dict[str, Any]) -> str:
    data = training.get("data") or {}
    pretrained = training.get("pretrained")
    if pretrained:
        start = f"from the weights `{_name(pretrained)}`"
    elif ":" in str(training.get("backbone", "")):  # a folder or a repository brings its own weights
        start = "from the backbone's own weights"
    else:
        start = "from random weights"
    length = f"{training['steps']} steps" if training.get("steps") else f"{training.get('epochs')} epochs"
    return (
        f"Trained {start} on `{_name(data.get('data', 'unknown'))}`, text `{_code(data.get('text', 'unknown'))}`, "
        f"{length} of {data.get('batch_size', 'unknown')} products a batch, seed {training.get('seed')}."
    )


def _results(metrics: Sequence[dict[str, Any]]) -> str:
    if not metrics:
        return "Not measured on a test split."
    return "\n\n".join(_table(record) for record in metrics)


def _table(record: dict[str, Any]) -> str:
    rows = [
        f"| {metric.replace('_', ' ')} | {value:.1f} | {_interval(record['ci95'].get(metric))} |"
        for metric, value in record["metrics"].items()
    ]
    about = f"{record['benchmark']} ({record.get('protocol', '')}) on `{_name(record['dataset'])}`, {record['split']}"
    about += f", {record.get('n', 0):,} products, text `{record.get('text', '')}`"
    return "\n".join([f"{about}; percent, intervals over products:", "", "| metric | value | 95 % |", "|---|---|---|", *rows])


def _interval(bounds: Sequence[float] | None) -> str:
    return "{:.1f} to {:.1f}".format(*bounds) if bounds else ""


def _limits(config: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> str:
    size = config["preprocess"]["size"]
    pixels = " x ".join(str(side) for side in (size if isinstance(size, list) else [size, size]))
    lines = [
        "These results hold for that data; other shops, kinds of photos and languages were not tested.",
        f"It sees photos at {pixels} pixels: details smaller than a few of these are lost.",
        f"Texts are cut at {(config.get('tokenizer') or {}).get('context_length', 77)} tokens"
        + "".join(f"; in `{_name(r['dataset'])}` that cut {r['truncated_texts']:,}" for r in metrics if "truncated_texts" in r)
        + ".",
        "Bias was not studied, neither towards people in the photos nor towards brands.",
    ]
    if config.get("tags"):
        lines.append("A region embedding follows what the training data calls that entity; selections are no segmentation.")
    return "\n".join(f"- {line}" for line in lines)


def _licence(licence: str | None) -> str:
    code = "The code that trained it and loads it is under the Apache License 2.0."
    if licence:
        return f"The weights: `{licence}`. {code}"
    return f"None was stated for the weights, which may depend on the data and on the start weights: ask the owner. {code}"


def _name(place: str) -> str:
    """Last part of a path, for a code span: a card shows none of its author's folders."""
    return _code(Path(str(place)).name)


def _code(text: str) -> str:
    """Escapes untrusted text for a code span of Markdown."""
    return " ".join(str(text).replace("`", "'").split())


def _plain(text: str) -> str:
    """Escapes untrusted text for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#" else letter for letter in " ".join(str(text).split()))
