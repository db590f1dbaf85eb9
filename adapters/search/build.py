"""From a catalogue to an index: `e2 index build` and `e2 index update`.

Products are gone through in blocks. Of each block only those are embedded that the index does not hold as they are now, told
by a digest of photo, description and tags: so a build that was killed goes on where it was, an update costs what has changed,
and doing either twice changes nothing. A product is found by its first photo.

With several processes (``accelerate launch``) each embeds its share of a block, and the main one writes. Vectors that `e2
embed` wrote may take the place of embedding.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from e2.adapters.embeddings.read import StoredVectors, read_along
from e2.adapters.encoder import Encoder
from e2.adapters.encoder_places import noted
from e2.adapters.product_images import ProductImages
from e2.adapters.search.engines import create_store, folder_of, open_store, resume_store
from e2.adapters.search.index import check_encoder
from e2.adapters.search.store import Entry, Manifest, Store, shown
from e2.data.images import load_image
from e2.data.product import Catalogue, Product
from e2.distributed import as_on_main, on_main, processes
from e2.errors import InputError
from e2.progress import with_progress
from e2.version import __version__

BLOCK = 1024  # products at a time: what is lost when the process dies
THUMBNAIL, QUALITY = 256, 85  # pixels of the longer side, of JPEG
Vectors = Callable[[Sequence[int]], np.ndarray]  # rows of a catalogue, growing from call to call -> (N, D)


@dataclass(frozen=True)
class Written:
    """How many products were embedded and written, and how many were there already as they are."""

    written: int
    unchanged: int


def build_index(
    encoder: Encoder,
    catalogue: Catalogue,
    out: str | Path,
    *,
    features: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Written:
    """Builds the index of a catalogue.

    Args:
        encoder: any.
        catalogue: one split.
        out: a folder, or ``http://HOST:PORT/COLLECTION`` on a Milvus server.
        features: what `e2 embed` wrote of that split with that encoder; None = the photos are embedded.
        resume: continue with a build that was stopped.
        overwrite: replace an index that is there, once the new one is whole.
        progress: show a progress bar.

    Raises:
        InputError: there is an index already (and neither ``resume`` nor ``overwrite``), the one to continue is of another
            encoder or catalogue, the features are, or a photo cannot be read.
    """
    out = str(out)
    vectors = _embedding(encoder, catalogue)
    if features is not None:
        vectors = read_along(StoredVectors(features, encoder, "image", first_only=True), catalogue)
    width = encoder.encode_texts(["a"], progress=False).shape[1]
    store: Store | None = None

    def start() -> None:
        nonlocal store
        if resume and (store := resume_store(out)) is not None:
            _check_same(store.manifest, encoder, catalogue, shown(out))
        else:
            store = create_store(out, _manifest(encoder, catalogue, width, out), overwrite=overwrite)

    on_main(start)
    return _written(vectors, encoder.workers, catalogue, store, progress)


def update_index(encoder: Encoder, catalogue: Catalogue, place: str | Path, *, progress: bool = True) -> Written:
    """Adds a catalogue's products to an index, replacing those of the same ids that have changed.

    Raises:
        InputError: no index there, one of another encoder, tags that it does not have, or a photo that cannot be read.
    """
    store: Store | None = None

    def start() -> None:
        nonlocal store
        store = open_store(str(place))
        check_encoder(store.manifest, encoder, shown(str(place)))
        _check_tags(store.manifest, catalogue, shown(str(place)))

    on_main(start)
    return _written(_embedding(encoder, catalogue), encoder.workers, catalogue, store, progress)


def _embedding(encoder: Encoder, catalogue: Catalogue) -> Vectors:
    """Embeds the first photos of products."""
    return lambda rows: encoder.encode_images(ProductImages.first(catalogue, np.asarray(rows)), progress=False)


def entries_of(
    vectors: np.ndarray, workers: int, catalogue: Catalogue, rows: Sequence[int], digests: Sequence[str]
) -> Iterator[Entry]:
    """The products at some rows of a catalogue, with their vectors (N, D); thumbnails are made by ``workers`` threads.

    Raises:
        InputError: a photo cannot be read.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        thumbnails = pool.map(lambda row: thumbnail_of(catalogue[row]), rows)
        for row, digest, thumbnail, vector in zip(rows, digests, thumbnails, vectors, strict=True):
            product = catalogue[row]
            yield Entry(product.product_id, digest, product.captions[0], dict(product.tags), thumbnail, vector)


def thumbnail_of(product: Product) -> bytes:
    """A JPEG of a product's first photo, of at most `THUMBNAIL` pixels a side."""
    small = load_image(product.images[0], enough=THUMBNAIL)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    contents = io.BytesIO()
    small.save(contents, "JPEG", quality=QUALITY)
    return contents.getvalue()


def digest_of(product: Product) -> str:
    """Changes whenever what the index keeps of a product would."""
    image = product.images[0]
    sha = hashlib.sha256(image if isinstance(image, bytes) else _contents(image, product))
    words = [product.captions[0], *(part for tag in sorted(product.tags.items()) for part in tag)]
    for word in words:
        sha.update(len(word.encode()).to_bytes(4, "big") + word.encode())
    return sha.hexdigest()[:32]


def _contents(path: Path, product: Product) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"product {product.product_id}: {path} cannot be read ({error.strerror})") from error


def _written(vectors: Vectors, workers: int, catalogue: Catalogue, store: Store | None, progress: bool) -> Written:
    """Goes through the catalogue; ``store`` is that of the main process, None in the others."""
    written, starts = 0, range(0, len(catalogue), BLOCK)
    for start in with_progress(starts, "Products", len(starts), progress and processes().is_main_process):
        rows, digests = as_on_main(_changed(catalogue, range(start, min(start + BLOCK, len(catalogue))), store))
        if rows:
            found = vectors(rows)  # of all processes together; before any threads, which a fork would not survive
            if store is not None:
                store.write(list(entries_of(found, workers, catalogue, rows, digests)))
            written += len(rows)
    if store is not None:
        store.finish()
        store.close()
    return Written(written, len(catalogue) - written)


def _changed(catalogue: Catalogue, rows: range, store: Store | None) -> tuple[list[int], list[str]]:
    """The rows that the index does not hold as they are now, and their digests; nothing in processes without a store."""
    if store is None:
        return [], []
    products = {row: catalogue[row] for row in rows}
    digests = {row: digest_of(product) for row, product in products.items()}
    there = store.digests([product.product_id for product in products.values()])
    changed = [row for row in rows if there.get(products[row].product_id) != digests[row]]
    return changed, [digests[row] for row in changed]


def _manifest(encoder: Encoder, catalogue: Catalogue, width: int, out: str) -> Manifest:
    return Manifest(
        encoder=noted(encoder.info, folder_of(out)),
        data=catalogue.name,
        split=catalogue.split,
        entities=tuple(catalogue.tags),
        dim=width,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
    )


def _check_same(manifest: Manifest, encoder: Encoder, catalogue: Catalogue, where: str) -> None:
    check_encoder(manifest, encoder, where)
    _check_tags(manifest, catalogue, where)
    if (manifest.data, manifest.split) != (catalogue.name, catalogue.split):
        raise InputError(
            f"{where} was begun with {manifest.data} split {manifest.split}; resume with that, or add by e2 index update"
        )


def _check_tags(manifest: Manifest, catalogue: Catalogue, where: str) -> None:
    if extra := [entity for entity in catalogue.tags if entity not in manifest.entities]:
        have = ", ".join(manifest.entities) or "none"
        raise InputError(f"{where} was built without the tag {', '.join(extra)} (it has {have}); choose --tags accordingly")
