"""Embeddings as a table: which vector is whose, row groups, and no half-written file."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks import embed
from benchmarks.embed import write_embeddings
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png


@pytest.fixture
def shelf() -> Shelf:
    red = Product("r", (png("red"), png("white")), ("red", "rather red", "very red"))
    return Shelf([red, Product("b", (png("blue"),), ("blue",))])


def test_each_row_says_whose_vector_it_is(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "ROWS", 2)  # several row groups
    assert write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet") == 7
    file = pq.ParquetFile(tmp_path / "e.parquet")
    rows = file.read().to_pylist()
    names = [(row["product_id"], row["kind"], row["index"]) for row in rows]
    assert names == [
        ("r", "image", 0), ("r", "image", 1), ("b", "image", 0),
        ("r", "text", 0), ("r", "text", 1), ("r", "text", 2), ("b", "text", 0),
    ]  # fmt: skip
    axes = [list(COLOURS)[int(np.argmax(row["vector"]))] for row in rows]
    assert axes == ["red", "white", "blue", "red", "red", "red", "blue"]
    np.testing.assert_allclose([np.linalg.norm(row["vector"]) for row in rows], 1)
    assert file.num_row_groups == 4
    assert file.schema_arrow.field("vector").type == pa.list_(pa.float32(), 5)
    metadata = file.schema_arrow.metadata
    assert json.loads(metadata[b"encoder"])["path"] == "stub" and metadata[b"dataset"] == b"shelf"


def test_one_kind_only(shelf, tmp_path):
    write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet", what=("text",))
    assert set(pq.read_table(tmp_path / "e.parquet")["kind"].to_pylist()) == {"text"}


def test_regions_have_a_row_per_image_and_entity(shelf, tmp_path, monkeypatch):
    encoder = colour_encoder()
    encoder.tags = ("brand", "season")
    see = encoder.model.encode_image
    monkeypatch.setattr(encoder.model, "encode_regions", lambda x: torch.stack([see(x), see(1 - x)], dim=1), raising=False)
    assert write_embeddings(encoder, shelf, tmp_path / "e.parquet", what=("region",)) == 6
    rows = pq.read_table(tmp_path / "e.parquet").to_pylist()
    assert [(row["product_id"], row["index"], row["entity"]) for row in rows] == [
        ("r", 0, "brand"), ("r", 0, "season"), ("r", 1, "brand"),
        ("r", 1, "season"), ("b", 0, "brand"), ("b", 0, "season"),
    ]  # fmt: skip
    axes = [list(COLOURS)[int(np.argmax(row["vector"]))] for row in rows]
    assert axes[2:4] == ["white", "black"] and axes[0] == "red"


def test_bad_input_leaves_no_file(shelf, tmp_path):
    with pytest.raises(InputError, match="cannot embed boxes"):
        write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet", what=("image", "boxes"))
    with pytest.raises(InputError, match="has no regions"):
        write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet", what=("region",))
    torn = Shelf([*shelf.products, *shelf.products, Product("torn", (b"torn",), ("torn",))])
    with pytest.raises(InputError, match="product torn"):
        write_embeddings(colour_encoder(), torn, tmp_path / "e.parquet")
    assert list(tmp_path.iterdir()) == []
