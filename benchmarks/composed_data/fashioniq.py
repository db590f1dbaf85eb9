"""FashionIQ (Wu et al., CVPR 2021): two captions say how a target differs from a candidate photo; dresses, shirts, tops.

Test targets are hidden: everybody reports val. The reference stays in the gallery. Papers' numbers also differ by how the two
captions are joined: a query carries both, and a composer's preset (`adapters/composed/presets.py`) joins them.

Galleries: ``original`` = all photos of a category's split; ``val-union`` = references and targets only (VAL, CVPR 2020), with
clearly higher numbers.
"""

from dataclasses import dataclass
from pathlib import Path

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
from e2.errors import InputError

CATEGORIES = ("dress", "shirt", "toptee")
GALLERIES = ("original", "val-union")
PUBLISHED = {  # split -> queries and photos of each category
    "train": {"dress": (5985, 11452), "shirt": (5988, 19036), "toptee": (6027, 16121)},
    "val": {"dress": (2017, 3817), "shirt": (2038, 6346), "toptee": (1961, 5373)},
}
KS = (10, 50)


@dataclass(frozen=True)
class Entry:
    """One query: the names of two photos, and two captions (of which one may be empty)."""

    reference: str
    target: str
    captions: tuple[str, str]


def read_entries(annotations: str | Path, category: str, split: str) -> list[Entry]:
    """``captions/cap.CATEGORY.SPLIT.json`` as published.

    Raises:
        InputError: no such file, a damaged one, or hidden targets.
    """
    name = f"cap.{category}.{split}.json"
    path = find_annotation(Path(annotations), f"captions/{name}", name)
    if split == "test":
        raise InputError("the targets of FashionIQ's test split are not published; measure on --split val")
    return [_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(read_json(path, list))]


def _entry(entry: object, where: str) -> Entry:
    captions = required(entry, "captions", list, where)
    if len(captions) != 2 or not all(isinstance(caption, str) for caption in captions):
        raise InputError(f"{where}: needs two captions, has {len(captions)}; get the file again from its publisher")
    return Entry(required(entry, "candidate", str, where), required(entry, "target", str, where), tuple(captions))


def read_gallery(annotations: str | Path, category: str, split: str) -> list[str]:
    """``image_splits/split.CATEGORY.SPLIT.json``: the names of a split's photos."""
    name = f"split.{category}.{split}.json"
    return read_json(find_annotation(Path(annotations), f"image_splits/{name}", name), list)


def load_fashioniq(
    annotations: str | Path,
    images: str | Path,
    *,
    split: str = "val",
    gallery: str = "original",
    missing: str = "error",
) -> Task:
    """The three categories as one task.

    Args:
        annotations: the published folder with ``captions`` and ``image_splits``.
        images: folder with the photos, ``NAME.jpg`` or the like, also in folders below.
        split: ``val`` or ``train``.
        gallery: ``original`` or ``val-union``.
        missing: ``error`` asks for all published queries and photos; ``skip`` measures on what is there and says so.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    if gallery not in GALLERIES:
        raise InputError(f"unknown FashionIQ gallery {gallery!r}; choose {' or '.join(GALLERIES)}")
    check_missing(missing)
    folder, paths = Path(images), photos_by_name(Path(images))
    all_entries, categories, spans, covered = [], [], {}, {}
    names: dict[str, int] = {}
    for category in CATEGORIES:
        entries, listed = read_entries(annotations, category, split), read_gallery(annotations, category, split)
        queries, photos = PUBLISHED.get(split, {}).get(category, (None, None))
        check_counts(f"FashionIQ {category} {split} queries", len(entries), queries, missing)
        check_counts(f"FashionIQ {category} {split} photos", len(listed), photos, missing)
        here = present(listed, paths, missing, folder)
        usable = _usable(entries, set(here), category)
        covered[category] = {
            "queries": coverage(usable, queries, len(entries)),
            "photos": coverage(here, photos, len(listed)),
        }
        members = here if gallery == "original" else _union(usable)
        rows = [names.setdefault(name, len(names)) for name in members]
        spans[category] = np.array(rows)
        all_entries += usable
        categories += [category] * len(usable)
    references = np.array([names[entry.reference] for entry in all_entries])
    return Task(
        benchmark="fashioniq",
        protocol=f"fiq_{gallery.replace('-', '_')}",
        name="fashioniq",
        split=split,
        images=[paths[name] for name in names],
        image_names=list(names),
        references=references,
        wordings=[[entry.captions for entry in all_entries]],
        answers=[np.array([names[entry.target]]) for entry in all_entries],
        categories=np.array(categories),
        galleries=spans,
        exclude_reference=False,
        clusters=references,
        recall_ks=KS,
        facts={"gallery_protocol": gallery, "coverage": covered},
        query_names=[f"{entry.reference} {entry.target}" for entry in all_entries],
    )


def _usable(entries: list[Entry], here: set[str], category: str) -> list[Entry]:
    usable = [entry for entry in entries if entry.reference in here and entry.target in here]
    if not usable:
        raise InputError(f"no FashionIQ {category} query has both of its photos; complete the folder given by --images")
    return usable


def _union(entries: list[Entry]) -> list[str]:
    """References and targets, each once, in a fixed order."""
    return sorted({entry.reference for entry in entries} | {entry.target for entry in entries})
