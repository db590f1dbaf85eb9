import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from e2.data.fetch import addresses


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test sees, or leaves anything in, the user's cache."""
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reached(monkeypatch):
    """Lets files be fetched from this machine."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)


def photo(seed=0, size=(24, 32)) -> Image.Image:
    """A noisy RGB picture of (width, height) that differs by seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rows(count: int, start: int = 0) -> list[dict]:
    """Product records with every usual column."""
    return [
        {
            "product_id": f"p{number}",
            "image": {"bytes": encoded(photo(number)), "path": None},
            "caption": f"A shirt number {number}",
            "brand": f"Brand {number % 3}",
            "season": "Summer",
        }
        for number in range(start, start + count)
    ]


def write_parquet(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path)
    return path
