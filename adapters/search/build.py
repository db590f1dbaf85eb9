"""Builds the index of a catalogue, for `e2 index build` and `e2 index update`.

Products are processed in blocks. Only new or changed ones, by a digest of photos, description and tags, are embedded: so a
killed build resumes, an update costs only the changes, and both are idempotent. A product has one vector, by the index's rule.

With several processes (``accelerate launch``) each embeds its share of a block, and the main one writes. Vectors of `e2 embed`
may replace embedding.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from e2.adapters.embeddings.read import StoredProducts, read_along
from e2.adapters.encoder import Encoder
from e2.adapters.encoder_paths import noted
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.adapters.search.address import shown
from e2.adapters.search.engines import create_store, folder_of, is_uri, open_store, resume_store
from e2.adapters.search.index import check_encoder
from e2.adapters.search.pictures import jpeg_of
from e2.adapters.search.snapshot import EXACT
from e2.adapters.search.store import Entry, Manifest, Store
from e2.data.product import Catalogue, Product
from e2.distributed import as_on_main, on_main, processes
from e2.errors import InputError
from e2.extras import require_extra
from e2.progress import with_progress
from e2.version import __version__

BLOCK = 1024  # products at a time: the loss if the process dies
PICTURE = 512  # pixels of the longer side: sharp on a phone
Vectors = Callable[[Sequence[int]], np.ndarray]  # rows of a catalogue, increasing from call to call -> (N, D)


@dataclass(frozen=True)
class Written:
    """Numbers of products embedded and written, and of unchanged ones."""

    written: int
    unchanged: int


def build_index(
    encoder: Encoder,
    catalogue: Catalogue,
    out: str | Path,
    *,
    features: str | Path | None = None,
    product_vector: ProductVector = ALL_PHOTOS,
    vector_type: str = "float32",
    picture_side: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Written:
    """Builds the index of a catalogue.

    Args:
        encoder: any.
        catalogue: one split.
        out: a folder, or ``http://HOST:PORT/COLLECTION`` on a Milvus server.
        features: output of `e2 embed` for that split and encoder; None = embed the photos.
        product_vector: rule of the products' vectors.
        vector_type: how they are kept, see `e2.adapters.search.vector_types`.
        picture_side: pixels of the longer side of the pictures that are kept; None = those of a stopped build, or `PICTURE`.
        resume: continue a stopped build.
        overwrite: replace an existing index, once the new one is complete.
        progress: show a progress bar.

    Raises:
        InputError: an index exists (without ``resume`` or ``overwrite``), index or features are of another encoder or
            catalogue, or a photo cannot be read.
    """
    out = str(out)
    _require_packages(out, catalogue)
    vectors = _embedding(encoder, catalogue, product_vector)
    if features is not None:
        vectors = read_along(StoredProducts(features, encoder, product_vector), catalogue)
    width = encoder.encode_texts(["a"], progress=False).shape[1]
    store: Store | None = None

    def start() -> None:
        nonlocal store
        if resume and (store := resume_store(out)) is not None:
            _check_same(store.manifest, encoder, catalogue, product_vector, vector_type, picture_side, shown(out))
        else:
            manifest = _manifest(encoder, catalogue, product_vector, vector_type, picture_side or PICTURE, width, out)
            store = create_store(out, manifest, overwrite=overwrite)

    on_main(start)
    return _written(vectors, product_vector, encoder.workers, catalogue, store, progress)


def update_index(encoder: Encoder, catalogue: Catalogue, address: str | Path, *, progress: bool = True) -> Written:
    """Adds a catalogue's products to an index, replacing changed ones of the same ids; vectors are made by the index's rule.

    Raises:
        InputError: no index, one of another encoder, unknown tags, or an unreadable photo.
    """
    store: Store | None = None

    def start() -> None:
        nonlocal store
        store = open_store(str(address))
        check_encoder(store.manifest, encoder, shown(str(address)))
        _check_tags(store.manifest, catalogue, shown(str(address)))

    _require_packages(str(address), catalogue)
    on_main(start)
    rule = ProductVector.parse(as_on_main(store.manifest.product_vector if store is not None else None))
    return _written(_embedding(encoder, catalogue, rule), rule, encoder.workers, catalogue, store, progress)


def _require_packages(address: str, catalogue: Catalogue) -> None:
    """Refuses a large catalogue before it is embedded if its vectors could not be put in order afterwards."""
    if not is_uri(address) and len(catalogue) > EXACT:
        require_extra("search", f"an index of more than {EXACT:,} products", "faiss")


def _embedding(encoder: Encoder, catalogue: Catalogue, rule: ProductVector) -> Vectors:
    return lambda rows: rule.encode(encoder, catalogue, rows, progress=False)


def entries_of(
    vectors: np.ndarray, workers: int, catalogue: Catalogue, rows: Sequence[int], digests: Sequence[str], side: int
) -> Iterator[Entry]:
    """Yields the products at some rows of a catalogue, with their vectors (N, D) and pictures of at most ``side`` pixels per
    side, which ``workers`` threads make.

    Raises:
        InputError: a photo cannot be read.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        thumbnails = pool.map(lambda row: jpeg_of(catalogue[row].images[0], side), rows)
        for row, digest, thumbnail, vector in zip(rows, digests, thumbnails, vectors, strict=True):
            product = catalogue[row]
            yield Entry(product.product_id, digest, product.captions[0], dict(product.tags), thumbnail, vector)


def digest_of(product: Product, rule: ProductVector) -> str:
    """Digest of everything that the index keeps of a product."""
    sha = hashlib.sha256()
    for number, image in enumerate(rule.images(product)):
        contents = image if isinstance(image, bytes) else _contents(image, product)
        sha.update(contents if not number else len(contents).to_bytes(8, "big") + contents)
    words = [product.captions[0], *(part for tag in sorted(product.tags.items()) for part in tag)]
    for word in words:
        sha.update(len(word.encode()).to_bytes(4, "big") + word.encode())
    return sha.hexdigest()[:32]


def _contents(path: Path, product: Product) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"product {product.product_id}: {path} cannot be read ({error.strerror})") from error


def _written(
    vectors: Vectors, rule: ProductVector, workers: int, catalogue: Catalogue, store: Store | None, progress: bool
) -> Written:
    """Processes the catalogue; ``store`` is the main process's, None in the others."""
    written, starts = 0, range(0, len(catalogue), BLOCK)
    for start in with_progress(starts, "Products", len(starts), progress and processes().is_main_process):
        rows, digests = as_on_main(_changed(catalogue, range(start, min(start + BLOCK, len(catalogue))), rule, store))
        if rows:
            found = vectors(rows)  # over all processes; before any threads, which a fork would not survive
            if store is not None:
                store.write(list(entries_of(found, workers, catalogue, rows, digests, store.manifest.picture_side)))
            written += len(rows)
    if store is not None:
        store.finish()
        store.close()
    return Written(written, len(catalogue) - written)


def _changed(catalogue: Catalogue, rows: range, rule: ProductVector, store: Store | None) -> tuple[list[int], list[str]]:
    """Rows that are new or changed, and their digests; nothing in processes without a store."""
    if store is None:
        return [], []
    products = {row: catalogue[row] for row in rows}
    digests = {row: digest_of(product, rule) for row, product in products.items()}
    there = store.digests([product.product_id for product in products.values()])
    changed = [row for row in rows if there.get(products[row].product_id) != digests[row]]
    return changed, [digests[row] for row in changed]


def _manifest(
    encoder: Encoder, catalogue: Catalogue, rule: ProductVector, vector_type: str, side: int, width: int, out: str
) -> Manifest:
    return Manifest(
        encoder=noted(encoder.info, folder_of(out)),
        data=catalogue.name,
        split=catalogue.split,
        entities=tuple(catalogue.tags),
        dim=width,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=__version__,
        product_vector=str(rule),
        vector_type=vector_type,
        picture_side=side,
    )


def _check_same(
    manifest: Manifest,
    encoder: Encoder,
    catalogue: Catalogue,
    rule: ProductVector,
    vector_type: str,
    side: int | None,
    where: str,
) -> None:
    check_encoder(manifest, encoder, where)
    _check_tags(manifest, catalogue, where)
    if (manifest.data, manifest.split) != (catalogue.name, catalogue.split):
        raise InputError(
            f"{where} was begun with {manifest.data} split {manifest.split}; resume with that, or add by e2 index update"
        )
    if manifest.product_vector != str(rule):
        made = manifest.product_vector
        raise InputError(
            f"{where} has vectors of products by the rule {made}, not {rule}; resume with --product-vector {made}"
        )
    if manifest.vector_type != vector_type:
        made = manifest.vector_type
        raise InputError(f"{where} has {made} vectors, not {vector_type}; resume with --vector-type {made}")
    if side not in (None, manifest.picture_side):
        kept = manifest.picture_side
        raise InputError(f"{where} has pictures of {kept} pixels, not {side}; resume with --picture-side {kept}")


def _check_tags(manifest: Manifest, catalogue: Catalogue, where: str) -> None:
    if extra := [entity for entity in catalogue.tags if entity not in manifest.entities]:
        have = ", ".join(manifest.entities) or "none"
        raise InputError(f"{where} was built without the tag {', '.join(extra)} (it has {have}); choose --tags accordingly")
