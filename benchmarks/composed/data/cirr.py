"""CIRR (Liu et al., ICCV 2021, arXiv 2108.04024), release rc2: recall without the reference, and within six similar photos.

R_subset@K ranks only a query's set of six without the reference. Targets of ``test1`` are hidden: results go to the authors'
server as two JSON files (`write_submission`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.composed.data.files import find_annotation, photos_by_name, read_json, required, required_id, texts_of
from e2.benchmarks.composed.data.published import ALL, Annotated, Rows, build_task, check_names
from e2.benchmarks.composed.data.task import Task, named_rows
from e2.benchmarks.composed.data.usable import PublishedQuery
from e2.files import write_json

PUBLISHED = {"val": 4181}  # queries
KS = (1, 5, 10, 50)
SUBMITTED, SUBMITTED_SUBSET = 50, 3  # names a query in the server's two files


def load_cirr(annotations: str | Path, images: str | Path, *, split: str = "val", missing: str = "error") -> Task:
    """Loads one split as a task; the gallery is all photos of the split.

    Args:
        annotations: the published folder with ``captions/cap.rc2.SPLIT.json`` and ``image_splits/split.rc2.SPLIT.json``.
        images: folder of NLVR2's photos, in any folders below it.
        split: ``val``, ``train`` or ``test1`` (hidden targets).
        missing: ``error`` or ``skip``.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    root, folder = Path(annotations), Path(images)
    path = find_annotation(root, f"captions/cap.rc2.{split}.json", f"cap.rc2.{split}.json")
    listed = read_json(find_annotation(root, f"image_splits/split.rc2.{split}.json", f"split.rc2.{split}.json"), dict)
    queries = [_query(entry, f"{path}, entry {place}") for place, entry in enumerate(read_json(path, list))]
    check_names(queries)

    def fields(usable: list[PublishedQuery], rows: Rows) -> dict[str, Any]:
        return {"exclude_reference": True, "recall_ks": KS, "subset": _subset(usable, rows)}

    published = {ALL: Annotated(queries, list(listed), (PUBLISHED.get(split), None))}
    return build_task("CIRR", "cirr_rc2", split, missing, folder, photos_by_name(folder), published, fields)


def _query(entry: Any, where: str) -> PublishedQuery:
    """Reads one annotation; its other photos are the members of its set."""
    hidden = isinstance(entry, dict) and entry.get("target_hard") is None
    members = texts_of(required(required(entry, "img_set", dict, where), "members", list, where), f"{where}: 'members'")
    return PublishedQuery(
        name=required_id(entry, "pairid", where),
        reference=required(entry, "reference", str, where),
        answers=() if hidden else (required(entry, "target_hard", str, where),),
        captions=required(entry, "caption", str, where),
        where=where,
        others=tuple(members),
    )


def _subset(queries: list[PublishedQuery], rows: Rows) -> np.ndarray:
    """Rows (Q, 5) of each query's set without its reference, the target first if known; -1 for none."""
    sets = [dict.fromkeys([*query.answers, *query.others]) for query in queries]
    lists = [[rows[name] for name in names if name != query.reference] for names, query in zip(sets, queries, strict=True)]
    longest = max(map(len, lists))
    return np.array([row + [-1] * (longest - len(row)) for row in lists]).reshape(len(lists), longest)


def write_submission(out: Path, task: Task, top: np.ndarray, subset_top: np.ndarray) -> list[Path]:
    """Writes ``cirr_recall.json`` and ``cirr_recall_subset.json`` for the authors' server.

    ``top``: (Q, 50) best gallery rows without the reference; ``subset_top``: (Q, 3) of each query's set, -1 where it is
    smaller.
    """
    files = {"recall": top[:, :SUBMITTED], "recall_subset": subset_top[:, :SUBMITTED_SUBSET]}
    written = []
    for metric, rows in files.items():
        named = named_rows(task, rows)
        written.append(out / f"cirr_{metric}.json")
        write_json(written[-1], {"version": "rc2", "metric": metric, **named})
    return written
