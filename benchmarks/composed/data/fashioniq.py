"""FashionIQ (Wu et al., CVPR 2021): two captions describe the change from a candidate photo to a target; dresses, shirts,
tops.

Test targets are hidden: papers report val. The reference stays in the gallery. Papers also differ in joining the two captions:
a query holds both, and a composer's preset (`adapters/composed/presets.py`) joins them.

Galleries: ``original`` = all photos of a category's split; ``val-union`` = references and targets only (VAL, CVPR 2020), with
clearly higher results.
"""

from pathlib import Path

from e2.benchmarks.composed.data.files import find_annotation, photos_by_name, read_json, required, texts_of
from e2.benchmarks.composed.data.published import Annotated, build_task, check_names
from e2.benchmarks.composed.data.task import Task
from e2.benchmarks.composed.data.usable import PublishedQuery
from e2.errors import InputError

CATEGORIES = ("dress", "shirt", "toptee")
GALLERIES = ("original", "val-union")
PUBLISHED = {  # split -> queries and photos of each category
    "train": {"dress": (5985, 11452), "shirt": (5988, 19036), "toptee": (6027, 16121)},
    "val": {"dress": (2017, 3817), "shirt": (2038, 6346), "toptee": (1961, 5373)},
}
KS = (10, 50)


def read_entries(annotations: str | Path, category: str, split: str) -> list[PublishedQuery]:
    """Reads ``captions/cap.CATEGORY.SPLIT.json`` as published.

    Raises:
        InputError: no such file, a damaged one, or hidden targets.
    """
    name = f"cap.{category}.{split}.json"
    path = find_annotation(Path(annotations), f"captions/{name}", name)
    if split == "test":
        raise InputError("the targets of FashionIQ's test split are not published; evaluate on --split val")
    entries = [_entry(entry, f"{path}, entry {place}") for place, entry in enumerate(read_json(path, list))]
    check_names(entries)
    return entries


def _entry(entry: object, where: str) -> PublishedQuery:
    """Two photos and two captions, one of which may be empty."""
    captions = texts_of(required(entry, "captions", list, where), f"{where}: 'captions'")
    if len(captions) != 2:
        raise InputError(f"{where}: needs two captions, has {len(captions)}; get the file again from its publisher")
    reference, target = required(entry, "candidate", str, where), required(entry, "target", str, where)
    return PublishedQuery(f"{reference} {target}", reference, (target,), tuple(captions), where)


def read_gallery(annotations: str | Path, category: str, split: str) -> list[str]:
    """``image_splits/split.CATEGORY.SPLIT.json``: the names of a split's photos."""
    name = f"split.{category}.{split}.json"
    path = find_annotation(Path(annotations), f"image_splits/{name}", name)
    return texts_of(read_json(path, list), str(path))


def load_fashioniq(
    annotations: str | Path, images: str | Path, *, split: str = "val", gallery: str = "original", missing: str = "error"
) -> Task:
    """Loads the three categories as one task.

    Args:
        annotations: the published folder with ``captions`` and ``image_splits``.
        images: folder with the photos, ``NAME.jpg`` or the like, also in folders below.
        split: ``val`` or ``train``.
        gallery: ``original`` or ``val-union``.
        missing: ``error`` requires all published queries and photos; ``skip`` evaluates on what is there and reports it.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    if gallery not in GALLERIES:
        raise InputError(f"unknown FashionIQ gallery {gallery!r}; choose {' or '.join(GALLERIES)}")
    published = {
        category: Annotated(
            read_entries(annotations, category, split),
            read_gallery(annotations, category, split),
            PUBLISHED.get(split, {}).get(category, (None, None)),
        )
        for category in CATEGORIES
    }
    return build_task(
        "FashionIQ",
        f"fiq_{gallery.replace('-', '_')}",
        split,
        missing,
        Path(images),
        photos_by_name(Path(images)),
        published,
        lambda usable, rows: {"exclude_reference": False, "recall_ks": KS},
        referred_only=gallery == "val-union",
        facts={"gallery_protocol": gallery},
    )
