"""CIRR (Liu et al., ICCV 2021, arXiv 2108.04024), release rc2: recall without the reference, and within six alike photos.

R_subset@K ranks only the six members of a query's set less the reference. Targets of ``test1`` are hidden: results go to the
authors' server as two JSON files (`write_submission`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.composed_data.files import (
    check_counts,
    check_missing,
    coverage,
    find_annotation,
    photos_by_name,
    present,
    read_json,
    required,
)
from benchmarks.composed_data.task import Task
from benchmarks.metrics_file import write_json
from e2.errors import InputError

PUBLISHED = {"val": 4181}  # queries
KS = (1, 5, 10, 50)
SUBMITTED, SUBMITTED_SUBSET = 50, 3  # names a query in the server's two files


def load_cirr(annotations: str | Path, images: str | Path, *, split: str = "val", missing: str = "error") -> Task:
    """One split as a task; the gallery is all photos of the split.

    Args:
        annotations: the published folder with ``captions/cap.rc2.SPLIT.json`` and ``image_splits/split.rc2.SPLIT.json``.
        images: folder of NLVR2's photos, in any folders below it.
        split: ``val``, ``train`` or ``test1`` (hidden targets).
        missing: ``error`` or ``skip``.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    check_missing(missing)
    root = Path(annotations)
    caption_file = find_annotation(root, f"captions/cap.rc2.{split}.json", f"cap.rc2.{split}.json")
    listed = read_json(find_annotation(root, f"image_splits/split.rc2.{split}.json", f"split.rc2.{split}.json"), dict)
    entries = read_json(caption_file, list)
    check_counts(f"CIRR {split} queries", len(entries), PUBLISHED.get(split), missing)
    paths = photos_by_name(Path(images))
    here = present(listed, paths, missing, Path(images))
    rows = {name: row for row, name in enumerate(here)}
    queries = [_query(entry, f"{caption_file}, entry {place}") for place, entry in enumerate(entries)]
    usable = [query for query in queries if all(name in rows for name in query["photos"])]
    if not usable:
        raise InputError(f"no CIRR {split} query has all of its photos; complete {images}")
    hidden = usable[0]["target"] is None
    references = np.array([rows[query["reference"]] for query in usable])
    return Task(
        benchmark="cirr",
        protocol="cirr_rc2",
        name="cirr",
        split=split,
        images=[paths[name] for name in here],
        image_names=here,
        references=references,
        wordings=[[query["caption"] for query in usable]],
        answers=None if hidden else [np.array([rows[query["target"]]]) for query in usable],
        categories=np.full(len(usable), "all"),
        galleries={"all": np.arange(len(here))},
        exclude_reference=True,
        clusters=references,
        recall_ks=KS,
        subset=_subset(usable, rows),
        facts={
            "coverage": {
                "queries": coverage(usable, PUBLISHED.get(split), len(entries)),
                "photos": coverage(here, None, len(listed)),
            }
        },
        query_names=[query["id"] for query in usable],
    )


def _query(entry: Any, where: str) -> dict[str, Any]:
    """Names and caption of one annotation; the reference comes first among its photos."""
    members = required(required(entry, "img_set", dict, where), "members", list, where)
    reference, target = required(entry, "reference", str, where), entry.get("target_hard")
    photos = dict.fromkeys([reference, *([target] if target else []), *members])
    identity, caption = str(required(entry, "pairid", int, where)), required(entry, "caption", str, where)
    return {"id": identity, "reference": reference, "target": target, "caption": caption, "photos": list(photos)}


def _subset(queries: list[dict[str, Any]], rows: dict[str, int]) -> np.ndarray:
    """(Q, 5) rows of each query's set without its reference, the target first where it is known; -1 for none."""
    lists = [[rows[name] for name in query["photos"][1:]] for query in queries]
    longest = max(map(len, lists))
    return np.array([row + [-1] * (longest - len(row)) for row in lists])


def write_submission(out: Path, task: Task, top: np.ndarray, subset_top: np.ndarray) -> list[Path]:
    """Writes ``cirr_recall.json`` and ``cirr_recall_subset.json`` for the authors' server.

    Args:
        out: folder.
        task: of any split.
        top: (Q, 50) best gallery rows, the reference left out.
        subset_top: (Q, 3) best rows of each query's set.
    """
    files = {"recall": top[:, :SUBMITTED], "recall_subset": subset_top[:, :SUBMITTED_SUBSET]}
    written = []
    for metric, rows in files.items():
        named = {
            name: [task.image_names[row] for row in line if row >= 0]
            for name, line in zip(task.query_names, rows, strict=True)
        }
        written.append(out / f"cirr_{metric}.json")
        write_json(written[-1], {"version": "rc2", "metric": metric, **named})
    return written
