"""CIRCO (Baldrati et al., ICCV 2023, arXiv 2303.15247): several right answers a query among COCO's unlabelled photos.

mAP@K counts all right answers, recall the annotated target only. The reference stays in the gallery. Answers of ``test`` are
hidden: results go to the authors' server (`write_submission`).
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

PUBLISHED = {"val": 220, "test": 800}  # queries
PUBLISHED_PHOTOS = 123_403  # of COCO 2017 unlabelled
KS = (5, 10, 25, 50)
SUBMITTED = 50
PHOTO_LIST = "image_info_unlabeled2017.json"


def load_circo(annotations: str | Path, images: str | Path, *, split: str = "val", missing: str = "error") -> Task:
    """One split as a task; the gallery is every photo that COCO's list of unlabelled photos names.

    Args:
        annotations: folder with ``SPLIT.json`` of CIRCO and ``image_info_unlabeled2017.json`` of COCO, or above
            ``annotations/`` and ``COCO2017_unlabeled/annotations/``.
        images: folder of the photos, in any folders below it.
        split: ``val`` or ``test`` (hidden answers).
        missing: ``error`` or ``skip``.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    check_missing(missing)
    root = Path(annotations)
    path = find_annotation(root, f"{split}.json", f"annotations/{split}.json")
    photo_list = find_annotation(root, PHOTO_LIST, f"annotations/{PHOTO_LIST}", f"COCO2017_unlabeled/annotations/{PHOTO_LIST}")
    listed = _photos(photo_list)
    entries = read_json(path, list)
    check_counts(f"CIRCO {split} queries", len(entries), PUBLISHED.get(split), missing)
    check_counts("CIRCO photos", len(listed), PUBLISHED_PHOTOS, missing)
    paths = photos_by_name(Path(images))
    here = present(listed, paths, missing, Path(images))
    rows = {listed[stem]: row for row, stem in enumerate(here)}  # COCO's id -> row
    queries = [_query(entry, f"{path}, entry {place}") for place, entry in enumerate(entries)]
    usable = [query for query in queries if all(photo in rows for photo in (query["reference"], *query["answers"]))]
    if not usable:
        raise InputError(f"no CIRCO {split} query has all of its photos; complete {images}")
    hidden = not usable[0]["answers"]
    references = np.array([rows[query["reference"]] for query in usable])
    return Task(
        benchmark="circo",
        protocol="circo",
        name="circo",
        split=split,
        images=[paths[stem] for stem in here],
        image_names=[str(listed[stem]) for stem in here],
        references=references,
        wordings=[[query["caption"] for query in usable]],
        answers=None if hidden else [np.array([rows[photo] for photo in query["answers"]]) for query in usable],
        recall_answers=None if hidden else [np.array([rows[query["answers"][0]]]) for query in usable],
        categories=np.full(len(usable), "all"),
        galleries={"all": np.arange(len(here))},
        exclude_reference=False,
        clusters=references,
        recall_ks=KS,
        map_ks=KS,
        facts={
            "recall_counts": "the annotated target only",
            "coverage": {
                "queries": coverage(usable, PUBLISHED.get(split), len(entries)),
                "photos": coverage(here, PUBLISHED_PHOTOS, len(listed)),
            },
        },
        query_names=[query["id"] for query in usable],
    )


def _photos(path: Path) -> dict[str, int]:
    """File name without suffix -> COCO's id."""
    photos = required(read_json(path, dict), "images", list, str(path))
    return {
        Path(required(photo, "file_name", str, f"{path}, image {place}")).stem: required(photo, "id", int, str(path))
        for place, photo in enumerate(photos)
    }


def _query(entry: Any, where: str) -> dict[str, Any]:
    """Ids and caption of one annotation; the annotated target comes first among its answers, none where they are hidden."""
    target = entry.get("target_img_id") if isinstance(entry, dict) else None
    answers = [] if target is None else list(dict.fromkeys([target, *required(entry, "gt_img_ids", list, where)]))
    return {
        "id": str(required(entry, "id", int, where)),
        "reference": required(entry, "reference_img_id", int, where),
        "caption": required(entry, "relative_caption", str, where),
        "answers": answers,
    }


def write_submission(out: Path, task: Task, top: np.ndarray) -> list[Path]:
    """Writes ``circo.json`` for the authors' server: query id -> COCO ids of its 50 best photos, best first."""
    path = out / "circo.json"
    ids = {
        name: [int(task.image_names[row]) for row in line[:SUBMITTED] if row >= 0]
        for name, line in zip(task.query_names, top, strict=True)
    }
    write_json(path, ids)
    return [path]
