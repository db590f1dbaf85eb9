"""Small inputs that many tests share: a tiny backbone, drawn photos, a table on disk."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import e2

TAGS = ("brand", "season", "colour")
TINY = {  # an open_clip configuration that runs in milliseconds
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 4, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """Name of a tiny backbone, registered through open_clip's own mechanism."""
    import open_clip

    path = tmp_path_factory.mktemp("configs") / "test-tiny.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)
    return "test-tiny"


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return e2.create_model_and_transforms(tiny, tags=TAGS)[0].eval()


def jpeg(colour: tuple[int, int, int], seed: int, size: int = 40) -> bytes:
    """A noisy photo of one colour."""
    noise = np.random.default_rng(seed).integers(-20, 20, (size, size, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """A folder with train.parquet (60 products) and val.parquet (12): colour decides photo, text and tags."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("shop")
    colours = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "grey": (120, 120, 120)}
    names = list(colours)
    for split, count in (("train", 60), ("val", 12)):
        rows = []
        for i in range(count):
            colour = names[i % 4]
            brand = None if i % 7 == 0 else ("Nike", "Puma", "Levi's")[i % 3]
            rows.append(
                {
                    "product_id": f"{split}-{i}",
                    "image": {"bytes": jpeg(colours[colour], i), "path": None},
                    "caption": f"A {colour} tee number {i}",
                    "brand": brand,
                    "season": ("Summer", "Winter")[i % 2],
                    "colour": colour,
                }
            )
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
    return folder
