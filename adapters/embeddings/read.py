"""The vectors that `e2 embed` wrote, read back a few thousand at a time: a folder of shards, or one file."""

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

MANIFEST = "_manifest.json"  # written last; programs that read a folder of parquet pass over names with an underscore
SHARDS = "part-*.parquet"
ROWS = 8192  # vectors at a time


class StoredVectors:
    """The vectors of one kind, in the order of the products they were made of.

    Args:
        path: what `e2 embed --out` wrote.
        encoder: what they have to be of.
        kind: ``image``, ``text`` or ``region``.
        first_only: of each product its first photo or description only.

    Attributes:
        width: D, of a vector.

    Raises:
        InputError: nothing that `e2 embed` wrote to its end, without vectors of that kind, or of another encoder.
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
        options = {"batch_size": ROWS, "batch_readahead": 1, "fragment_readahead": 1}  # by default it runs far ahead
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
    """The shards of a folder in order, or the file itself.

    Raises:
        InputError: embedding has not come to its end there, or shards are missing.
    """
    if not path.is_dir():
        return [path]
    files = sorted(path.glob(SHARDS))
    if not (path / MANIFEST).is_file():
        raise InputError(f"{path} is no index: embedding has not come to its end there; go on by e2 embed --resume")
    if len(files) != json.loads((path / MANIFEST).read_text(encoding="utf-8"))["shards"]:
        raise InputError(f"{path} is not whole: shards are missing; make them again by e2 embed --resume")
    return files


def read_along(features: StoredVectors, catalogue: Catalogue) -> Callable[[Sequence[int]], np.ndarray]:
    """A function that gives the vectors (N, D) of products by their rows, which have to grow from call to call.

    Args:
        features: one vector a product, made of the same split.
        catalogue: that split.

    Raises:
        InputError: they are of other products; the function raises it too.
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
        product_id, vector = next(pair for place, pair in pairs if place == row)
        if product_id != light[row].product_id:
            expected = f"{light[row].product_id!r} of {catalogue.name} split {catalogue.split}"
            raise InputError(f"{features.path} has product {product_id!r} where {expected} should be; embed that split")
        return vector

    return take
