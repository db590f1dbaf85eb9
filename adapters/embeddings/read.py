"""Reads the vectors of `e2 embed` a few thousand at a time, from a folder of shards or one file."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from e2.adapters.encoder import Encoder
from e2.adapters.product_vector import ProductVector
from e2.counting import counted
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError

MANIFEST = "_manifest.json"  # written last; parquet readers skip names with an underscore
SHARDS = "part-*.parquet"
ROWS = 8192  # vectors at a time


class StoredVectors:
    """Vectors of one kind, in the order of their products.

    Args:
        path: output of `e2 embed --out`.
        encoder: the encoder that they must come from.
        kind: ``image``, ``text``, ``product`` or ``region``.

    Attributes:
        width: D, of a vector.
        settings: of the run of `e2 embed`.
    """

    def __init__(self, path: str | Path, encoder: Encoder, kind: str):
        self.path = Path(path)
        with self._clear_errors():
            self._dataset = pyarrow.dataset.dataset([str(file) for file in _files(self.path)], format="parquet")
            self.settings = {key.decode(): value.decode() for key, value in (self._dataset.schema.metadata or {}).items()}
            made_by = json.loads(self.settings["encoder"])
            self.width: int = self._dataset.schema.field("vector").type.list_size
            self._rows = pyarrow.dataset.field("kind") == kind
            self._count = self._dataset.count_rows(filter=self._rows)
            self.products: int = self._dataset.count_rows(filter=self._rows & (pyarrow.dataset.field("index") == 0))
        if made_by.get("weights_sha256") != encoder.info["weights_sha256"]:
            where = f"{path} holds vectors of {made_by.get('path')}"
            raise InputError(f"{where}, not of {encoder.info['path']}; embed again with it")
        if not self._count:
            raise InputError(f"{path} holds no {kind} vectors; write them by e2 embed --what {kind}")

    def __len__(self) -> int:
        return self._count

    def batches(self) -> Iterator[tuple[list[str], np.ndarray]]:
        """Product ids and vectors (B, D), B at most `ROWS`."""
        options = {"batch_size": ROWS, "batch_readahead": 1, "fragment_readahead": 1}  # by default it reads far ahead
        with self._clear_errors():
            for batch in self._dataset.to_batches(columns=["product_id", "vector"], filter=self._rows, **options):
                if len(batch):
                    vectors = batch.column("vector").flatten().to_numpy(zero_copy_only=False)
                    yield batch.column("product_id").to_pylist(), vectors.reshape(-1, self.width)

    def by_product(self) -> Iterator[tuple[str, np.ndarray]]:
        """Ids of products, and the vectors (n, D) of each."""
        pairs = (pair for ids, vectors in self.batches() for pair in zip(ids, vectors, strict=True))
        for product_id, group in groupby(pairs, key=lambda pair: pair[0]):
            yield product_id, np.stack([vector for _, vector in group])

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException) as error:
            raise InputError(f"{self.path} holds no vectors: give the folder or file that `e2 embed --out` wrote") from error


class StoredProducts:
    """One vector per product, in order: stored as such by the same rule, or made of those of photos and descriptions.

    Args:
        path: output of `e2 embed --out`.
        encoder: the encoder that they must come from.
        rule: of the products' vectors.

    Raises:
        InputError: what the rule needs is not there.
    """

    def __init__(self, path: str | Path, encoder: Encoder, rule: ProductVector):
        self.path, self.rule = Path(path), rule
        self._texts = self._ready = None
        with contextlib.suppress(InputError):
            self._ready = StoredVectors(path, encoder, "product")
        if self._ready and (made := self._ready.settings["product_vector"]) != str(rule):
            if "image" not in self._ready.settings["what"].split(","):
                raise InputError(f"{path} holds vectors of products by the rule {made}, not {rule}; take that, or embed again")
            self._ready = None
        if rule.views and not self._ready:
            raise InputError(f"{path} holds vectors of whole photos; embed again with --what product --product-vector {rule}")
        self._photos = self._ready or StoredVectors(path, encoder, "image")
        if rule.text and not self._ready:
            self._texts = StoredVectors(path, encoder, "text")
            if self._texts.settings["text"] != "caption":
                raise InputError(f"{path} holds no vectors of descriptions without tags; embed again with --text caption")

    def __len__(self) -> int:
        return self._photos.products

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields product ids and vectors (D,)."""
        described = self._texts.by_product() if self._texts else None
        for product_id, photos in self._photos.by_product():
            text = next(described)[1][0] if described else None
            yield product_id, photos[0] if self._ready else self.rule.of_one(photos, text)


def _files(path: Path) -> list[Path]:
    """Shards of a folder in order, or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(SHARDS))
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path} is incomplete: embedding was stopped there; continue with e2 embed --resume")
    if len(files) != json.loads((path / MANIFEST).read_text(encoding="utf-8"))["shards"]:
        raise InputError(f"{path} is incomplete: shards are missing; write them again by e2 embed --resume")
    return files


def read_along(features: StoredProducts, catalogue: Catalogue) -> Callable[[Sequence[int]], np.ndarray]:
    """Makes a function that returns the vectors (N, D) of products by rows, which must increase from call to call.

    Args:
        features: of the same split.
        catalogue: that split.
    """
    if len(features) != len(catalogue):
        raise InputError(
            f"{features.path} holds vectors of {counted(len(features), 'product')}, but {catalogue.name} split "
            f"{catalogue.split} has {len(catalogue):,}; embed that split"
        )
    light = texts_only(catalogue)
    pairs = enumerate(features)

    def take(rows: Sequence[int]) -> np.ndarray:
        return np.stack([vector_of(row) for row in rows])

    def vector_of(row: int) -> np.ndarray:
        product_id, vector = next(pair for number, pair in pairs if number == row)
        if product_id != light[row].product_id:
            expected = f"{light[row].product_id!r} of {catalogue.name} split {catalogue.split}"
            raise InputError(f"{features.path} has product {product_id!r} where {expected} should be; embed that split")
        return vector

    return take
