"""CIRCO (Baldrati et al., ICCV 2023, arXiv 2303.15247): several right answers per query among COCO's unlabelled photos.

mAP@K counts all right answers, recall the annotated target only. The reference stays in the gallery. Answers of ``test`` are
hidden: results go to the authors' server (`write_submission`).
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.composed.data.files import find_annotation, number_text, photos_by_name, read_json, required, required_id
from e2.benchmarks.composed.data.published import ALL, Annotated, Rows, build_task, check_names
from e2.benchmarks.composed.data.task import Task, named_rows
from e2.benchmarks.composed.data.usable import PublishedQuery
from e2.files import write_json

PUBLISHED = {"val": 220, "test": 800}  # queries
PUBLISHED_PHOTOS = 123_403  # of COCO 2017 unlabelled
KS = (5, 10, 25, 50)
SUBMITTED = 50
PHOTO_LIST = "image_info_unlabeled2017.json"


def load_circo(annotations: str | Path, images: str | Path, *, split: str = "val", missing: str = "error") -> Task:
    """Loads one split as a task; the gallery is every photo in COCO's list of unlabelled photos.

    Args:
        annotations: folder with ``SPLIT.json`` of CIRCO and ``image_info_unlabeled2017.json`` of COCO, or the parent of
            ``annotations/`` and ``COCO2017_unlabeled/annotations/``.
        images: folder of the photos, in any folders below it.
        split: ``val`` or ``test`` (hidden answers).
        missing: ``error`` or ``skip``.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    root, folder = Path(annotations), Path(images)
    path = find_annotation(root, f"{split}.json", f"annotations/{split}.json")
    photo_list = find_annotation(root, PHOTO_LIST, f"annotations/{PHOTO_LIST}", f"COCO2017_unlabeled/annotations/{PHOTO_LIST}")
    listed = _photos(photo_list)
    names = {number: name for name, number in listed.items()}
    queries = [_query(entry, names, f"{path}, entry {place}") for place, entry in enumerate(read_json(path, list))]
    check_names(queries)

    def fields(usable: list[PublishedQuery], rows: Rows) -> dict[str, Any]:
        known = {"image_names": [listed[name] for name in rows], "recall_ks": KS, "map_ks": KS, "exclude_reference": False}
        target = [np.array([rows[query.answers[0]]]) for query in usable if query.answers]
        return {**known, "recall_answers": target or None}

    published = {ALL: Annotated(queries, list(listed), (PUBLISHED.get(split), PUBLISHED_PHOTOS))}
    facts = {"recall_counts": "the annotated target only"}
    found = photos_by_name(folder)
    return build_task("CIRCO", "circo", split, missing, folder, found, published, fields, facts=facts)


def _photos(path: Path) -> dict[str, str]:
    """Maps file names without suffix to COCO's ids."""
    photos = required(read_json(path, dict), "images", list, str(path))
    return {
        Path(required(photo, "file_name", str, f"{path}, image {place}")).stem: required_id(photo, "id", str(path))
        for place, photo in enumerate(photos)
    }


def _query(entry: Any, names: dict[str, str], where: str) -> PublishedQuery:
    """Reads one annotation; the answers are the annotated target and the other right photos. ``names``: COCO's id -> photo."""
    answers = []
    if isinstance(entry, dict) and entry.get("target_img_id") is not None:
        answers = [entry["target_img_id"], *required(entry, "gt_img_ids", list, where)]
    reference = required_id(entry, "reference_img_id", where)
    right = dict.fromkeys(number_text(answer, f"{where}: an id of 'gt_img_ids'") for answer in answers)
    return PublishedQuery(
        name=required_id(entry, "id", where),
        reference=names.get(reference, reference),
        answers=tuple(names.get(answer, answer) for answer in right),
        captions=required(entry, "relative_caption", str, where),
        where=where,
    )


def write_submission(out: Path, task: Task, top: np.ndarray) -> list[Path]:
    """Writes ``circo.json`` for the authors' server: query id -> COCO ids of its 50 best photos, best first."""
    path = out / "circo.json"
    ids = named_rows(task, top[:, :SUBMITTED])
    write_json(path, {name: list(map(int, found)) for name, found in ids.items()})
    return [path]
