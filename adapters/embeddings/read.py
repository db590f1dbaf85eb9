"""Reads the vectors of `e2 embed` a few thousand at a time, from a folder of shards or one file."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from e2.adapters.encoder import Encoder
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
        kind: ``image``, ``text`` or ``region``.
        first_only: only each product's first photo or description.

    Attributes:
        width: D, of a vector.
    """

    def __init__(self, path: str | Path, encoder: Encoder, kind: str, *, first_only: bool = False):
        self.path = Path(path)
        with self._clear_errors():
            self._dataset = pyarrow.dataset.dataset([str(file) for file in _files(self.path)], format="parquet")
            made_by = json.loads((self._dataset.schema.metadata or {})[b"encoder"])
            self.width: int = self._dataset.schema.field("vector").type.list_size
            self._rows = pyarrow.dataset.field("kind") == kind
            if first_only:
                self._rows &= pyarrow.dataset.field("index") == 0
            self._count = self._dataset.count_rows(filter=self._rows)
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

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except (OSError, KeyError, ValueError, AttributeError, pa.ArrowException) as error:
            raise InputError(f"{self.path} is no index: give the folder or file that `e2 embed --out` wrote") from error


def _files(path: Path) -> list[Path]:
    """Shards of a folder in order, or the file itself."""
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(SHARDS))
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path} is no index: embedding has not come to its end there; go on by e2 embed --resume")
    if len(files) != json.loads((path / MANIFEST).read_text(encoding="utf-8"))["shards"]:
        raise InputError(f"{path} is not whole: shards are missing; make them again by e2 embed --resume")
    return files


def read_along(features: StoredVectors, catalogue: Catalogue) -> Callable[[Sequence[int]], np.ndarray]:
    """Makes a function that returns the vectors (N, D) of products by rows, which must increase from call to call.

    Args:
        features: one vector per product, of the same split.
        catalogue: that split.
    """
    if len(features) != len(catalogue):
        raise InputError(
            f"{features.path} holds vectors of {len(features):,} products, but {catalogue.name} split {catalogue.split} has "
            f"{len(catalogue):,}; embed that split"
        )
    light = texts_only(catalogue)
    pairs = enumerate((pair for ids, vectors in features.batches() for pair in zip(ids, vectors, strict=True)))

    def take(rows: Sequence[int]) -> np.ndarray:
        return np.stack([vector_of(row) for row in rows])

    def vector_of(row: int) -> np.ndarray:
        product_id, vector = next(pair for number, pair in pairs if number == row)
        if product_id != light[row].product_id:
            expected = f"{light[row].product_id!r} of {catalogue.name} split {catalogue.split}"
            raise InputError(f"{features.path} has product {product_id!r} where {expected} should be; embed that split")
        return vector

    return take
