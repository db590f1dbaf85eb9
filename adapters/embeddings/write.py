"""Writes the vectors of a split as parquet, for `e2 embed`.

Columns: ``product_id`` (string), ``kind`` (``image``, ``region``, ``text`` or ``product``), ``index`` (of the image or caption
within the product, from 0), ``entity`` (of a region, else null) and ``vector`` (fixed-size list of float32, L2-normalised).

Products are embedded in blocks. Block k becomes the shard ``part-00000k.parquet``, which appears whole or not at all, and
process r of W (``accelerate launch``) embeds blocks r, r + W, r + 2W, ... So memory stays flat, processes wait for each other
only at the end, and any number of processes can resume a killed run. The main process then writes ``_manifest.json``, which
completes the folder, or joins the shards into a single file, row group by row group.
"""

import glob
import hashlib
import itertools
import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from e2.adapters.embeddings.read import MANIFEST, ROWS
from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.data.hub_stream import Stream
from e2.data.product import Catalogue, Product, require_text
from e2.distributed import on_main, processes
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.outputs import OutputKind, claim, claim_file, record_folder
from e2.training.run import locked
from e2.version import __version__

KINDS = ("image", "text", "region", "product")
SHARD_SIZE = 10_000  # products; with 512 numbers per vector about 20 MB for each kind
SHARD = re.compile(r"part-\d{6,}\.parquet")
EMBEDDINGS = OutputKind("embeddings", finished=MANIFEST, begun="part-*.parquet")
POLL = 0.5  # seconds between checks for the shards of the other processes


@dataclass(frozen=True)
class EmbedJob:
    """Settings of an embedding run: the same in all processes and on resuming."""

    encoder: Encoder  # works for this process alone
    products: Catalogue | Stream  # one split; a stream is read once, a block at a time
    what: tuple[str, ...]  # some of `KINDS`
    text: str  # ``caption`` or ``full``
    product_vector: ProductVector
    shard_size: int  # products in a block
    folder: Path  # folder for the shards
    progress: bool  # show progress bars, and name each full shard

    def settings(self) -> dict[str, str]:
        """Settings stored in every shard, as parquet metadata."""
        return {
            "encoder": json.dumps(self.encoder.info),
            "weights_sha256": self.encoder.info["weights_sha256"],
            "precision": self.encoder.precision,
            "dataset": self.products.name,
            "split": self.products.split,
            "text": self.text,
            "what": ",".join(sorted(self.what)),
            "shard_size": str(self.shard_size),
            **({"product_vector": str(self.product_vector)} if "product" in self.what else {}),
        }

    def shard(self, number: int) -> Path:
        """File of a block."""
        return self.folder / f"part-{number:06d}.parquet"


def write_embeddings(
    encoder: Encoder,
    products: Catalogue | Stream,
    out_path: str | Path,
    *,
    what: Sequence[str] = ("image", "text"),
    text: str = "caption",
    product_vector: ProductVector = ALL_PHOTOS,
    shard_size: int = SHARD_SIZE,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any] | None:
    """Embeds all images and texts of a split, and regions if the encoder has them.

    Args:
        products: one split, or a stream of one.
        out_path: a folder for shards, or a name that ends in ``.parquet`` for a single file, which appears whole or not at
            all. All processes must see it.
        what: any of ``image``, ``text``, ``region`` and ``product``, one vector for each.
        text: ``caption`` or ``full``.
        product_vector: rule of the products' vectors.
        shard_size: products in a shard.
        resume: keep the shards of a stopped run.
        overwrite: replace an earlier run's.
        progress: show progress bars, and name each full shard on stderr.

    Returns:
        The manifest, once all processes are done; None except in the main process.

    Raises:
        InputError: unknown ``what`` or ``text``, no regions, an unreadable image, an output that cannot be written or exists
            already, or shards made with other settings.
    """
    unknown = set(what) - set(KINDS)
    if unknown or not what:
        raise InputError(f"cannot embed {', '.join(sorted(unknown)) or 'nothing'}; choose from {', '.join(KINDS)}")
    require_text(text)
    if "region" in what:
        encoder.iterate_images([], regions=True)  # refuses an encoder that has none
    out = Path(out_path)
    folder = _folder_of(out)
    job = EmbedJob(encoder.alone(), products, tuple(what), text, product_vector, shard_size, folder, progress)
    with locked(out):
        on_main(lambda: _make_room(out, resume, overwrite))
        count = _write_shards(job)
        return _finish(job, out, count) if processes().is_main_process else None


def claim_embeddings(out: Path, *, resume: bool, overwrite: bool, remove: bool = False) -> None:
    """Checks, before any work, that embeddings may be written to a folder or file (see `e2.outputs.claim`)."""
    folder = _folder_of(out)
    if out != folder:
        claim_file(out, overwrite=resume or overwrite)
    claim(folder, EMBEDDINGS, resume=resume, overwrite=overwrite, remove=remove)


def _folder_of(out: Path) -> Path:
    """Folder for the shards."""
    return out.parent / f".{out.name}.parts" if out.suffix == ".parquet" else out


def _make_room(out: Path, resume: bool, overwrite: bool) -> None:
    """Removes what a killed run left half written, or what is to be replaced."""
    claim_embeddings(out, resume=resume, overwrite=overwrite, remove=True)
    folder = _folder_of(out)
    whole = [folder / MANIFEST] if out == folder else [out]
    halves = (path.parent.glob(f".{glob.escape(path.name)}.*.tmp*") for path in whole)
    for half in itertools.chain(folder.glob(".part-*"), *halves):
        half.unlink()


def _write_shards(job: EmbedJob) -> int:
    """Embeds this process's blocks. Returns the number of blocks of all processes."""
    state, count = processes(), 0
    for number, block in enumerate(_blocks(job.products, job.shard_size)):
        if number % state.num_processes == state.process_index:
            _write_shard(job, number, block())
        count = number + 1
    return count


def _blocks(products: Catalogue | Stream, size: int) -> Iterator[Callable[[], list[Product]]]:
    """Yields functions that return the products of a block: a catalogue is read only by the process that embeds them."""
    if isinstance(products, Stream):
        rest = iter(products)
        while block := list(itertools.islice(rest, size)):
            yield partial(list, block)
    else:
        for start in range(0, len(products), size):
            rows = range(start, min(start + size, len(products)))
            yield partial(list, map(products.__getitem__, rows))


def _write_shard(job: EmbedJob, number: int, products: list[Product]) -> None:
    path = job.shard(number)
    facts = {**job.settings(), "products": str(len(products)), "digest": _digest(products, job.text)}
    if path.exists():
        _check_same(path, facts)
        return
    tables = dict(_tables(job, products))
    metadata = {**facts, "rows": json.dumps({kind: len(table) for kind, table in tables.items()})}
    record_folder(job.folder, EMBEDDINGS, [path.name])
    _write_parquet(path, metadata, iter(tables.values()))
    if job.progress and len(products) == job.shard_size:
        print(f"{path.name}: products up to {number * job.shard_size + len(products):,}", file=sys.stderr)


def _digest(products: Sequence[Product], text: str) -> str:
    """Digest of the products' ids, texts and numbers of photos."""
    sha = hashlib.sha256()
    for product in products:
        texts = [product.text(text, caption) for caption in range(len(product.captions))]
        sha.update(json.dumps([product.product_id, len(product.images), texts]).encode())
    return sha.hexdigest()


def _check_same(path: Path, facts: Mapping[str, str]) -> None:
    """Checks that a shard was made with the same settings and products."""
    try:
        found = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} is damaged; remove it, and continue with --resume") from error
    for name, value in facts.items():
        was = found.get(name.encode(), b"").decode()
        if was != value and name != "encoder":  # its path may differ
            told = "of other products" if name in ("products", "digest") else f"with {name} {was}, not {value}"
            raise InputError(f"{path} was made {told}; resume with the same, or start again with --overwrite")


def _tables(job: EmbedJob, products: list[Product]) -> Iterator[tuple[str, pa.Table]]:
    """Yields kind -> rows for each requested kind: images, regions, products, texts."""
    ids, tags = np.array([product.product_id for product in products], dtype=object), job.encoder.tags
    rows, indices = _flat([len(product.images) for product in products])
    pictures = ProductImages(products, rows, indices)  # type: ignore[arg-type]  # it asks for nothing but products by row
    images, regions = _look(job, pictures)
    if images is not None and "image" in job.what:
        yield "image", _table("image", ids[rows], indices, images)
    if regions is not None:
        entities = np.tile(np.array(tags, dtype=object), len(rows))
        repeated_ids, repeated_indices = (np.repeat(part, len(tags)) for part in (ids[rows], indices))
        yield "region", _table("region", repeated_ids, repeated_indices, regions.reshape(-1, regions.shape[-1]), entities)
    if images is not None and "product" in job.what:
        seen = job.product_vector.of_photos(job.encoder, pictures, job.progress, whole=images)
        photos = np.split(seen, np.flatnonzero(np.diff(rows)) + 1)
        vectors = job.product_vector.joined(job.encoder, products, photos, job.progress)
        yield "product", _table("product", ids, np.zeros(len(ids), np.int32), vectors)
    if "text" in job.what:
        rows, indices = _flat([len(product.captions) for product in products])
        texts = [products[row].text(job.text, index) for row, index in zip(rows, indices, strict=True)]
        yield "text", _table("text", ids[rows], indices, job.encoder.encode_texts(texts, job.progress))


def _look(job: EmbedJob, photos: ProductImages) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Embeds photos as image vectors (N, D) and region vectors (N, E, D), each photo read once; None: not needed."""
    whole, regions = {"image", "product"} & set(job.what), "region" in job.what
    if whole and regions:
        return job.encoder.encode_images_and_regions(photos, job.progress)
    images = job.encoder.encode_images(photos, job.progress) if whole else None
    return images, job.encoder.encode_regions(photos, job.progress) if regions else None


def _flat(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Expands counts per product to the product of each item and its number within the product."""
    return np.repeat(np.arange(len(counts)), counts), np.concatenate([np.arange(count) for count in counts])


def _table(
    kind: str, ids: np.ndarray, indices: np.ndarray, vectors: np.ndarray, entities: np.ndarray | None = None
) -> pa.Table:
    columns = {
        "product_id": pa.array(ids, pa.string()),
        "kind": pa.array([kind] * len(vectors), pa.string()),
        "index": pa.array(indices, pa.int32()),
        "entity": pa.nulls(len(vectors), pa.string()) if entities is None else pa.array(entities, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    return pa.table(columns)


def _finish(job: EmbedJob, out: Path, count: int) -> dict[str, Any]:
    """Waits for all shards, and completes the folder or the file."""
    shards = [job.shard(number) for number in range(count)]
    for shard in shards:
        while not shard.exists():  # not a barrier of the process group, which times out after minutes
            time.sleep(POLL)
    manifest = _manifest(job, shards)
    if out == job.folder:
        write_json(out / MANIFEST, manifest)
    else:
        metadata = {**job.settings(), "manifest": json.dumps(manifest)}
        _write_parquet(out, metadata, (group for shard in shards for group in _row_groups(shard)))
        shutil.rmtree(job.folder)
    return manifest


def _manifest(job: EmbedJob, shards: Sequence[Path]) -> dict[str, Any]:
    """Describes the embeddings: data, encoder, and number of rows of each kind; refuses shards of another run."""
    beyond = sorted({path for path in job.folder.iterdir() if SHARD.fullmatch(path.name)} - set(shards))
    if beyond:
        raise InputError(f"{beyond[0]} is of products that no longer exist; start again with --overwrite")
    schemas = [pq.read_schema(shard) for shard in shards]
    rows = [json.loads(schema.metadata[b"rows"]) for schema in schemas]
    return {
        "encoder": job.encoder.info,
        "precision": job.encoder.precision,
        "dataset": job.products.name,
        "split": job.products.split,
        "text": job.text,
        "entities": list(job.encoder.tags),
        "dim": schemas[0].field("vector").type.list_size,
        "products": sum(int(schema.metadata[b"products"]) for schema in schemas),
        "rows": {kind: sum(counts[kind] for counts in rows) for kind in rows[0]},
        "bad_rows": dict(getattr(job.products, "bad_rows", {})),
        "shard_size": job.shard_size,
        "shards": len(shards),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "version": __version__,
    }


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as shard:
        for group in range(shard.num_row_groups):
            yield shard.read_row_group(group)


def _write_parquet(path: Path, metadata: dict[str, str], tables: Iterator[pa.Table]) -> None:
    """Writes tables of one schema as a file that appears whole or not at all."""
    first = next(tables)
    schema = first.schema.with_metadata(metadata)
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for table in itertools.chain([first], tables):
            writer.write_table(table.replace_schema_metadata(metadata), row_group_size=ROWS)
