"""Captions any number of photos, for `e2 caption write`; resumable, with an ``error`` for bad photos.

Until complete, captions are JSON lines in ``OUT.part`` beside ``OUT``, after a header line on their origin; ``OUT`` is made of
them at the end, in any of `FORMATS`.
"""

import glob
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from e2.adapters.captioning.captioner import Captioner
from e2.adapters.captioning.facts import Facts
from e2.adapters.captioning.files import json_line, write_shopify, write_table
from e2.data.fingerprint import digest, fingerprint
from e2.data.images import BadImage, load_image
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError, escaped
from e2.files import atomic_path
from e2.outputs import LEDGER, claim_file, record, require_ours
from e2.progress import with_progress

FORMATS = ("jsonl", "csv", "tsv", "shopify")
Format = Literal["jsonl", "csv", "tsv", "shopify"]
ENDINGS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv"}
TITLE = "title"  # of a product, if the catalogue is read with this tag
NOTHING_SURE = "its caption states nothing but facts that may not stand"
CHUNK = 128  # photos decoded, captioned and written together


@dataclass(frozen=True)
class PhotoToCaption:
    """One photo to caption, with its name in the output."""

    names: dict[str, Any]
    source: bytes | Path
    tags: Mapping[str, str] = field(default_factory=dict)  # of its product, to hold the caption to


class FolderPhotos(Sequence[PhotoToCaption]):
    """All files below a folder, in the order of their names; unreadable ones get an error line.

    Args:
        folder: with photos, also in subfolders.
        out: the output file, which may be in the folder and is not a photo.

    Raises:
        InputError: no such folder, or no file in it.
    """

    def __init__(self, folder: str | Path, out: str | Path | None = None):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"there is no folder {folder}; give one with photos, or a catalogue")
        closed: list[str] = []  # unreadable folders
        walk = os.walk(self.folder, onerror=lambda error: closed.append(str(error.filename)))
        found = [os.path.join(at, name) for at, _, names in walk for name in names if name != LEDGER]
        ours = set()  # the output file, its part, and temporary files of a killed run
        if out is not None:
            out = Path(out)
            own = [out, _part(out), *out.parent.glob(f".{glob.escape(out.name)}.*.tmp*")]
            ours = {os.path.abspath(path) for path in own}
        self.paths = sorted(path for path in [*found, *closed] if os.path.abspath(path) not in ours)
        if not self.paths:
            raise InputError(f"{folder} holds no image, nor any other file; give a folder with photos")

    def __len__(self) -> int:
        return len(self.paths)

    def fingerprint(self) -> str:
        """Fingerprint that changes with the names and sizes of the files."""
        files = ((os.path.relpath(path, self.folder), os.path.getsize(path)) for path in self.paths if os.path.exists(path))
        return digest(map(repr, files))

    def __getitem__(self, row: int) -> PhotoToCaption:  # type: ignore[override]  # no slices
        path = Path(self.paths[row])
        return PhotoToCaption({"image": escaped(path.relative_to(self.folder).as_posix())}, path)


class CataloguePhotos(Sequence[PhotoToCaption]):
    """Photos of a split's products; several of one product are numbered by ``index``."""

    def __init__(self, catalogue: Catalogue):
        self.catalogue = catalogue
        self.images = [(row, i) for row, product in enumerate(without_photos(catalogue)) for i in range(len(product.images))]
        if not self.images:
            raise InputError(f"{catalogue.name} split {catalogue.split} has no product")

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """Fingerprint that changes with the products and their photos."""
        return fingerprint(self.catalogue)

    def __getitem__(self, number: int) -> PhotoToCaption:  # type: ignore[override]  # no slices
        row, image = self.images[number]
        product = self.catalogue[row]
        several = {"index": image} if len(product.images) > 1 else {}
        title = {"title": product.tags[TITLE]} if TITLE in product.tags else {}
        return PhotoToCaption({"product_id": product.product_id, **several, **title}, product.images[image], product.tags)


def write_captions(
    captioner: Captioner,
    photos: Sequence[PhotoToCaption],
    out: str | Path,
    *,
    form: Format | None = None,
    facts: Facts | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **decoding: Any,
) -> dict[str, int]:
    """Captions all photos into a file, a chunk at a time.

    A line holds ``product_id`` (and ``index``) or ``image``, then ``caption`` and, if the prompt names tags, ``tags``; or
    ``error`` instead.

    Args:
        captioner: any.
        photos: `FolderPhotos`, `CataloguePhotos` or any sequence of `PhotoToCaption`.
        form: ``shopify`` writes a product once, by the first of its photos that has a caption; None: a table if the name ends
            in .csv or .tsv, else JSON lines.
        facts: what captions are held to; None: nothing.
        resume: continue a stopped run, or start one.
        decoding: any of `Decoding`.

    Returns:
        Numbers of ``photos``, ``errors`` and written ``products`` (lines, if photos are of no products).

    Raises:
        InputError: ``out`` exists, or is of another run; ``shopify`` without products.
    """
    out, part = Path(out), _part(out)
    how = captioner.decoding(**decoding)
    require_products(form, photos)
    claim_captions(out, resume=resume, overwrite=overwrite)
    head = {"captioner": captioner.info["weights_sha256"], "decoding": asdict(how), "photos": photos_fingerprint(photos)}
    head |= {"facts": None if facts is None else facts.description()}
    done = _done(part, head) if resume and not overwrite else 0
    if not done:
        _start(part, head)
    starts = range(done, len(photos), CHUNK)
    with open(part, "a", encoding="utf-8") as file, ThreadPoolExecutor(max(1, captioner.encoder.workers)) as pool:
        for start in with_progress(starts, "Captions", len(starts), progress):
            chunk = [photos[row] for row in range(start, min(start + CHUNK, len(photos)))]
            for record in caption_chunk(captioner, chunk, pool, decoding, facts):
                file.write(json_line(record))
            file.flush()
    return {"photos": len(photos)} | _finish(part, out, form)


def require_products(form: Format | None, photos: Sequence[PhotoToCaption]) -> None:
    """Refuses a product import of photos that belong to no product."""
    if form == "shopify" and "product_id" not in photos[0].names:
        raise InputError(
            "--format shopify writes products by their handles, and --data is not a catalogue; give the catalogue"
        )


def claim_captions(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Checks, before any work, that captions may be written to a file."""
    claim_file(out, overwrite=overwrite)
    part = _part(out)
    require_ours(part)
    if part.exists() and not (resume or overwrite):
        raise InputError(f"{part} is of an unfinished run; continue with --resume, or use --overwrite")


def photos_fingerprint(photos: Sequence[PhotoToCaption]) -> str:
    """Fingerprint of the photos to caption."""
    own = getattr(photos, "fingerprint", None)
    return own() if own else digest(repr((photo.names, photo.source)) for photo in photos)


def caption_chunk(
    captioner: Captioner,
    photos: Sequence[PhotoToCaption],
    pool: ThreadPoolExecutor,
    decoding: dict[str, Any],
    facts: Facts | None = None,
) -> Iterator[dict[str, Any]]:
    """Yields one record per photo, in order."""
    decoded = list(pool.map(_decoded, photos))
    found: Iterator[tuple[str, dict[str, str]]] = iter(())
    if images := [image for image in decoded if isinstance(image, Image.Image)]:
        features, regions = captioner.look(images, progress=False)
        tags = captioner.read_tags(features, regions)
        found = zip(captioner.caption_features(features, regions, tags=tags, **decoding), tags, strict=True)
    for photo, image in zip(photos, decoded, strict=True):
        if isinstance(image, str):
            yield {**photo.names, "error": image}
            continue
        caption, read = next(found)
        if facts is not None and not (caption := facts.hold(caption, photo.tags)):
            yield {**photo.names, "error": NOTHING_SURE}
            continue
        yield {**photo.names, "caption": caption, **({"tags": read} if captioner.tag_reader is not None else {})}


def _decoded(photo: PhotoToCaption) -> Image.Image | str:
    try:
        return load_image(photo.source)
    except BadImage as error:
        return error.cause


def _start(part: Path, head: dict[str, Any]) -> None:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        require_ours(part)
        record(part)
        part.write_text(json.dumps(head) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {part}: {error.strerror}; choose another --out") from error


def _done(part: Path, head: dict[str, Any]) -> int:
    """Counts the photos that a stopped run has captioned; removes an incomplete last line."""
    if not part.exists():
        return 0
    lines, size = 0, 0
    with open(part, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            if not _is_row(line):
                raise InputError(f"{part} is damaged in line {lines + 1}; start again by --overwrite, or choose another --out")
            if not lines and json.loads(line) != head:
                raise InputError(f"{part} is of other photos, options or another captioner; use --overwrite or another --out")
            lines, size = lines + 1, size + len(line)
    if lines:  # it has our header
        os.truncate(part, size)
    return max(lines - 1, 0)


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _part(out: str | Path) -> Path:
    return Path(f"{out}.part")


def _finish(part: Path, out: Path, form: Format | None) -> dict[str, int]:
    """Makes ``out`` of the lines; counts ``errors`` and ``products``."""

    def lines() -> Iterator[str]:
        with open(part, encoding="utf-8") as file:
            yield from itertools.islice(file, 1, None)

    def rows() -> Iterator[dict[str, Any]]:
        return map(json.loads, lines())

    form = form or ENDINGS.get(out.suffix.lower(), "jsonl")
    with atomic_path(out) as whole:
        if form == "shopify":
            write_shopify(rows(), whole)
        elif form == "jsonl":
            with open(whole, "w", encoding="utf-8") as file:
                file.writelines(lines())
        else:
            write_table(rows, whole, "excel" if form == "csv" else "excel-tab")
    errors, products = 0, set()
    for number, row in enumerate(rows()):
        errors += "error" in row
        if "caption" in row:
            products.add(row.get("product_id", number))
    part.unlink()
    return {"errors": errors, "products": len(products)}
