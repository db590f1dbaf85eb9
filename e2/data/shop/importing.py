"""Imports exports of shops: their photos are fetched, their products written as a catalogue that every ``--data`` takes."""

import contextlib
import functools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.counting import counted
from e2.data.catalogue import ArrowCatalogue, FilesAndBytes, Subset
from e2.data.check import LEFT_OUT, bad_texts, complain, rows_in_question
from e2.data.columns import MISSING_WORDS, Columns
from e2.data.entities.rules import EntityRule
from e2.data.export import compact, write_parquet
from e2.data.fetch.folder import alone_in, database, remove
from e2.data.fetch.photos import Manners, PhotoFetcher
from e2.data.fetch.store import FetchedImages, PhotoStore
from e2.data.fetch.turns import fetch_all
from e2.data.product import Product
from e2.data.read import has_nulls
from e2.data.shard_writer import write_shards
from e2.data.shares import Shares
from e2.data.shop.addresses import addresses, rows_that_lost_all
from e2.data.shop.folder import FAILURES, REPORT, SHOP_IMPORT, STATE, claim_import
from e2.data.shop.layout import TITLE
from e2.data.shop.source import ShopSource
from e2.data.sources import leave_out_bad_rows
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.notes import say
from e2.outputs import claim, record, record_folder
from e2.progress import with_progress
from e2.version import __version__


@dataclass(frozen=True)
class ImportFormat:
    """Form in which products are written."""

    to: str = "parquet"  # or webdataset
    shard_size: int = 1000  # products of a tar shard
    shares: Shares | None = None  # of val and test; None: the splits of the source


def import_export(
    source: ShopSource,
    spec: str,
    out: Path,
    *,
    tags: Sequence[str] | None = None,
    columns: Columns | None = None,
    on_bad_row: str = "skip",
    written: ImportFormat | None = None,
    manners: Manners | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Writes the products of an export into ``out``, with the photos inside.

    Photos on the web are fetched first, into ``photos.sqlite`` there; ``resume`` continues a stopped import and fetches no
    photo twice. What was left out is counted in ``import.json`` and told on stderr; photos that could not be fetched are in
    ``failures.json``, URL -> reason.

    Args:
        source: of `e2.data.shop.detect.shop_source`.
        spec: its SPEC, for messages.
        out: a new folder, or that of an earlier import; or a file whose name ends in .parquet.
        tags: the fields to keep; None: all.
        columns: of each tag.
        on_bad_row: ``skip`` leaves unusable products out, ``error`` raises, if it can before any photo is fetched.
        written: how they are written.
        manners: limits on requests.
        resume: continue a stopped import.
        overwrite: replace an earlier import.
        progress: show bars and what was left out (on stderr).

    Returns:
        Split -> number of products.

    Raises:
        InputError: wrong settings, nothing usable, or a folder that holds other things.
        TrainingStopped: the network is down; fetched photos are kept.
    """
    written = written or ImportFormat()
    options: dict[str, Any] = {"tags": tags, "columns": columns or Columns(), "on_bad_row": on_bad_row, "written": written}
    options |= {"manners": manners or Manners(), "progress": progress}
    if out.suffix == ".parquet" and not out.is_dir():
        return _import_file(source, spec, out, resume=resume, overwrite=overwrite, **options)
    new = not out.exists()
    with alone_in(out):
        if claim_import(out, resume=resume, overwrite=overwrite, remove=True) != "finished":
            record_folder(out, SHOP_IMPORT)
            remove(out.glob(".*.tmp*"))
            with contextlib.closing(PhotoStore(out / STATE)) as store:
                try:
                    _Import(source, spec, out, store, **options).run()
                except InputError:
                    if new and not store.counts()["fetched"]:  # all in it is ours, and nothing to go on from
                        store.close()
                        shutil.rmtree(out)
                    raise
            remove(path for name in database(STATE) if (path := out / name).exists())
        return json.loads((out / REPORT).read_text(encoding="utf-8"))["splits"]


def _import_file(
    source: ShopSource, spec: str, out: Path, *, written: ImportFormat, overwrite: bool, **options: Any
) -> dict[str, int]:
    """Writes a single table, by way of a folder beside it."""
    if written.to != "parquet" or written.shares or len(source.splits()) > 1:
        raise InputError(f"--out {out} is one table, which holds one split; name a folder")
    claim_import(out, resume=False, overwrite=overwrite)
    folder = out.with_name(f"{out.name}.import")
    sizes = import_export(source, spec, folder, written=written, overwrite=overwrite, **options)
    record(out)
    os.replace(folder / f"{next(iter(sizes))}.parquet", out)
    claim(folder, SHOP_IMPORT, overwrite=True)
    remove(folder.glob(".*"))
    folder.rmdir()
    return sizes


@dataclass
class _Import:
    """One import under way."""

    source: ShopSource
    spec: str
    out: Path
    store: PhotoStore
    tags: Sequence[str] | None
    columns: Columns
    on_bad_row: str
    written: ImportFormat
    manners: Manners
    progress: bool

    def run(self) -> None:
        """Fetches, checks and writes."""
        self._say(*filter(None, (export.remark() for export in self.source.exports.values())))
        loads = {split: self.source.load(split, self._kept(split), self.columns) for split in self.source.splits()}
        tables = {split: load() for split, load in loads.items()}
        self._refuse_bad_texts(tables)
        self._fetch(tables)
        lost = self.store.lost()
        catalogues = {split: self._catalogue(split, load) for split, load in loads.items()}
        for catalogue in catalogues.values():
            leave_out_bad_rows(catalogue, None, self.on_bad_row, self.progress)
        sizes: dict[str, int] = {}
        for split, (origin, products) in self._divided(catalogues).items():
            sizes[split] = self._write(split, origin, products)
        self._report(catalogues, tables, sizes, lost)

    def _kept(self, split: str) -> tuple[str, ...]:
        return tuple(self.source.columns(split) if self.tags is None else self.tags)

    def _say(self, *lines: str) -> None:
        for line in lines if self.progress else ():
            say(line)

    def _refuse_bad_texts(self, tables: Mapping[str, pa.Table]) -> None:
        """Complains before photos are fetched for nothing."""
        for split, table in tables.items():
            bad = list({found.row: found for found in bad_texts(table)}.values())
            if bad and (self.on_bad_row == "error" or len(bad) == len(table)):
                raise complain(f"{self.spec}, split {split}", table, bad, skip=self.on_bad_row == "skip")

    def _fetch(self, tables: Mapping[str, pa.Table]) -> None:
        """Fetches the photos of the rows that are used; where one lost them all, also of the others of its id."""
        used = {split: rows_in_question(table) for split, table in tables.items()}
        self._fetch_of(tables, used)
        lost = self.store.lost()
        for split, table in tables.items() if lost else ():
            ids = table.column("product_id")
            others = rows_in_question(table, rows_that_lost_all(table, lost)) & ~used[split]
            others = ids.filter(pa.array(others)).combine_chunks()
            used[split] = np.asarray(pc.is_in(ids, value_set=others))
        if lost:
            self._fetch_of(tables, used)
        self._tell_fetched()

    def _fetch_of(self, tables: Mapping[str, pa.Table], rows: Mapping[str, np.ndarray]) -> None:
        for split, table in tables.items():
            self.store.want(addresses(table, self.source.layout, rows[split]))
        if pending := self.store.counts()["pending"]:
            for _ in fetch_all(PhotoFetcher(self.manners), self.store, pending, self.progress):
                pass

    def _tell_fetched(self) -> None:
        counts = self.store.counts()
        if counts:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._lost_by_reason().items())
            lost = reasons and f"; lost {reasons}"
            self._say(f"{self.spec}: fetched {counts['fetched']:,} of {counted(counts.total(), 'photo')}{lost}")

    def _lost_by_reason(self) -> dict[str, int]:
        return dict(Counter(self.store.lost().values()).most_common())

    def _catalogue(self, split: str, load: functools.partial) -> ArrowCatalogue:
        images = FetchedImages(self.out / STATE, FilesAndBytes(self.source.root))
        return ArrowCatalogue(self.spec, split, self._kept(split), load, images, self.source.columns(split))

    def _divided(self, catalogues: Mapping[str, ArrowCatalogue]) -> dict[str, tuple[str, ArrowCatalogue | Subset]]:
        """Split to write -> split that it comes from, its products."""
        if self.written.shares is None:
            return {split: (split, catalogue) for split, catalogue in catalogues.items()}
        if len(catalogues) > 1:
            raise InputError(f"{self.spec} has splits of its own ({', '.join(catalogues)}); leave out --val and --test")
        ((origin, catalogue),) = catalogues.items()
        titles = self.source.exports[origin].products()
        titles = titles.column(TITLE) if TITLE in titles.schema.names else titles.column("caption")
        rows = range(len(catalogue)) if catalogue.rows is None else catalogue.rows
        found: dict[str, list[int]] = {"train": [], "val": [], "test": []}
        for place, row in enumerate(rows):
            found[self.written.shares.split_of((titles[int(row)].as_py() or [""])[0])].append(place)
        return {split: (origin, Subset(catalogue, places)) for split, places in found.items() if places}

    def _write(self, split: str, origin: str, products: ArrowCatalogue | Subset) -> int:
        values = _Values(self.source, origin, self._kept(origin), self.columns)
        shown = with_progress(values.added_to(products), f"writing {split}", len(products), self.progress)
        if self.written.to == "webdataset":
            shards = -(-len(products) // self.written.shard_size)
            for number in range(shards):
                record(self.out / f"{split}-{number:06d}.tar", SHOP_IMPORT.name)
            return write_shards(self.out, split, map(compact, shown), self.written.shard_size)
        path = self.out / f"{split}.parquet"
        record(path, SHOP_IMPORT.name)
        with atomic_path(path) as temporary:
            return write_parquet(temporary, shown, products, values.types())

    def _report(
        self,
        catalogues: Mapping[str, ArrowCatalogue],
        tables: Mapping[str, pa.Table],
        sizes: dict[str, int],
        lost: Mapping[str, str],
    ) -> None:
        if lost:
            write_json(self.out / FAILURES, lost)
        counts = self.store.counts()
        notes = [catalogue.notes for catalogue in catalogues.values()]
        left_out = sum((Counter(found.get(LEFT_OUT, {})) for found in notes), Counter())
        photos = {"wanted": counts.total(), "fetched": counts["fetched"], "lost": self._lost_by_reason()}
        write_json(
            self.out / REPORT,
            {
                "data": self.spec,
                "splits": sizes,
                "products_read": sum(map(len, tables.values())),
                "left_out": dict(sum((Counter(catalogue.bad_rows) for catalogue in catalogues.values()), Counter())),
                "photos": {**photos, "left_out": dict(left_out)},
                "notes": {what: sum(values.values()) for found in notes for what, values in found.items() if what != LEFT_OUT},
                "version": __version__,
            },
        )


def _read(lists: pa.ChunkedArray, rule: EntityRule | None) -> pa.ChunkedArray:
    """Values of a field, or those that a rule finds in it."""
    if rule is None:
        return lists
    return pa.chunked_array([pa.array([rule.read(cell or ()) for cell in lists.to_pylist()], pa.list_(pa.string()))])


class _Values:
    """Values of the kept fields of each product, as lists where one has several."""

    def __init__(self, source: ShopSource, split: str, kept: Sequence[str], columns: Columns):
        export = source.exports[split]
        ours, table = source.ours(columns), export.products()
        words = columns.missing_values
        self._words = (() if has_nulls(export.files[0]) else MISSING_WORDS) if words is None else words
        self._lists = {name: _read(table.column(ours.of_tag(name)), ours.rule_of(name)) for name in kept}
        self._several = {name: (pc.max(pc.list_value_length(lists)).as_py() or 0) > 1 for name, lists in self._lists.items()}

    def types(self) -> dict[str, pa.DataType]:
        """Type of the column of each field."""
        return {name: pa.list_(pa.string()) if several else pa.string() for name, several in self._several.items()}

    def added_to(self, products: ArrowCatalogue | Subset) -> Iterator[Product]:
        """Yields the products with all their values."""
        catalogue = products.catalogue if isinstance(products, Subset) else products
        places = products.indices if isinstance(products, Subset) else range(len(products))
        for place in places:
            row = int(place if catalogue.rows is None else catalogue.rows[place])  # type: ignore[union-attr]
            yield replace(catalogue[int(place)], tags=self._of(row))

    def _of(self, row: int) -> dict[str, Any]:
        found = {
            name: [value for value in lists[row].as_py() or () if value.casefold() not in self._words]
            for name, lists in self._lists.items()
        }
        return {name: values if self._several[name] else values[0] for name, values in found.items() if values}
