"""Embeddings as tables: which vector is whose, shards that a killed run leaves and another continues with, flat memory."""

import json
import os
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from e2.adapters.embeddings import write as embed
from e2.adapters.embeddings.read import MANIFEST
from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.encoder import Encoder
from e2.adapters.search import build
from e2.adapters.search.build import Written, build_index
from e2.adapters.search.index import open_index
from e2.adapters.search.memory import read_vectors
from e2.benchmarks.speed.growth import Repeated
from e2.benchmarks.speed.harness import peak_memory
from e2.data.columns import Columns
from e2.data.hub_stream import open_streams
from e2.data.product import Product
from e2.errors import InputError
from e2.outputs import LEDGER
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, pixels, png
from tests.command import run_command
from tests.kill_worker import die_inside


@pytest.fixture
def shelf() -> Shelf:
    red = Product("r", (png("red"), png("white")), ("red", "rather red", "very red"))
    return Shelf([red, Product("b", (png("blue"),), ("blue",))])


@pytest.fixture
def row_of_five() -> Shelf:
    return Shelf([Product(colour[0], (png(colour),), (colour,), {"sub_category": "Tees"}) for colour in COLOURS])


def seen_by(encoder: Encoder) -> list[int]:
    """How many photos the encoder is given, from now on, time after time."""
    seen, look = [], encoder.model.encode_image

    def noting(images):
        seen.append(len(images))
        return look(images)

    encoder.model.encode_image = noting
    return seen


def names_in(path) -> list[tuple]:
    return [(row["kind"], row["product_id"], row["index"]) for row in pq.read_table(path).to_pylist()]


def test_each_row_says_whose_vector_it_is(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(embed, "ROWS", 2)  # several row groups
    manifest = write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet")
    assert manifest["rows"] == {"image": 3, "text": 4} and manifest["products"] == 2
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
    assert json.loads(metadata[b"manifest"]) == manifest


def test_one_kind_only(shelf, tmp_path):
    write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet", what=("text",))
    assert set(pq.read_table(tmp_path / "e.parquet")["kind"].to_pylist()) == {"text"}


def test_regions_have_a_row_per_image_and_entity(shelf, tmp_path, monkeypatch):
    encoder = colour_encoder()
    encoder.tags = ("brand", "season")
    see = encoder.model.encode_image
    monkeypatch.setattr(encoder.model, "encode_regions", lambda x: torch.stack([see(x), see(1 - x)], dim=1), raising=False)
    assert write_embeddings(encoder, shelf, tmp_path / "e.parquet", what=("region",))["rows"] == {"region": 6}
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
    for name in ("e.parquet", "folder"):
        with pytest.raises(InputError, match="product torn"):
            write_embeddings(colour_encoder(), torn, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_a_whole_of_shards(row_of_five, tmp_path):
    manifest = write_embeddings(colour_encoder(), row_of_five, tmp_path / "e", shard_size=2, progress=False)
    shards = sorted(path.name for path in (tmp_path / "e").iterdir() if path.name != LEDGER)
    assert shards == [MANIFEST, *(f"part-00000{n}.parquet" for n in range(3))]
    assert names_in(tmp_path / "e" / "part-000001.parquet") == [(k, p, 0) for k in ("image", "text") for p in "bw"]
    assert sorted(names_in(tmp_path / "e")) == sorted((k, p, 0) for k in ("image", "text") for p in "rgbwb")
    assert json.loads((tmp_path / "e" / MANIFEST).read_text()) == manifest
    facts = {name: manifest[name] for name in ("products", "rows", "dim", "shards", "shard_size", "dataset", "bad_rows")}
    assert facts == {
        "products": 5, "rows": {"image": 5, "text": 5}, "dim": 5,
        "shards": 3, "shard_size": 2, "dataset": "shelf", "bad_rows": {},
    }  # fmt: skip
    assert manifest["encoder"]["weights_sha256"] == "0" * 64


@pytest.mark.parametrize("name", ["e", "e.parquet"])
def test_a_stopped_run_goes_on_without_doubles(row_of_five, tmp_path, monkeypatch, name):
    out = tmp_path / name
    folder = tmp_path / (".e.parquet.parts" if out.suffix else name)
    options = {"shard_size": 2, "progress": False}
    write = embed._write_parquet

    def dies_at_the_second(path, metadata, tables):
        if path.name == "part-000001.parquet":
            raise KeyboardInterrupt
        write(path, metadata, tables)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(embed, "_write_parquet", dies_at_the_second)
        write_embeddings(colour_encoder(), row_of_five, out, **options)
    (folder / ".part-000001.parquet.abc.tmp.parquet").write_text("half")  # what SIGKILL would have left
    assert not out.is_file() and not (folder / MANIFEST).exists()
    with pytest.raises(InputError, match="continue with --resume"):
        write_embeddings(colour_encoder(), row_of_five, out, **options)
    first = (folder / "part-000000.parquet").stat().st_mtime_ns
    encoder = colour_encoder()
    seen = seen_by(encoder)
    manifest = write_embeddings(encoder, row_of_five, out, resume=True, **options)
    assert sum(seen) == 3 and manifest["rows"] == {"image": 5, "text": 5}
    if out.is_dir():
        assert (out / "part-000000.parquet").stat().st_mtime_ns == first
    write_embeddings(colour_encoder(), row_of_five, tmp_path / "whole.parquet", shard_size=2)
    assert pq.read_table(out).equals(pq.read_table(tmp_path / "whole.parquet"))
    assert not list(tmp_path.rglob("*.tmp.parquet")) and not list(tmp_path.glob(".*.parts"))


def test_only_what_was_begun_is_resumed(row_of_five, tmp_path):
    out, options = tmp_path / "e", {"progress": False, "shard_size": 2}
    write_embeddings(colour_encoder(), row_of_five, out, **options)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    other = colour_encoder()
    other.info = {**other.info, "weights_sha256": "1" * 64}
    changed = Shelf([*row_of_five.products[:4], Product("b", (png("black"),), ("other words",))])
    fewer = Shelf(row_of_five.products[:2])
    for encoder, products, changes, message in (
        (other, row_of_five, {}, "made with weights_sha256 000"),
        (colour_encoder(), row_of_five, {"shard_size": 3}, "shard_size 2, not 3"),
        (colour_encoder(), row_of_five, {"what": ("text",)}, "what image,text, not text"),
        (colour_encoder(), changed, {}, "part-000002.parquet was made of other products"),
        (colour_encoder(), fewer, {}, "part-000001.parquet is of products that no longer exist"),
    ):
        with pytest.raises(InputError, match=message):
            write_embeddings(encoder, products, out, resume=True, **{**options, **changes})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert write_embeddings(other, fewer, out, overwrite=True, **options)["products"] == 2
    assert sorted(path.name for path in out.iterdir()) == [LEDGER, MANIFEST, "part-000000.parquet"]


def test_what_is_not_ours_is_left_alone(row_of_five, tmp_path):
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "photo.jpg").write_text("precious")
    (tmp_path / "album.parquet").mkdir()
    for name in ("album", "album.parquet", "album/photo.jpg"):
        with pytest.raises(InputError, match="is not a file|holds other files|is not a folder|cannot write"):
            write_embeddings(colour_encoder(), row_of_five, tmp_path / name, overwrite=True)
    assert (tmp_path / "album" / "photo.jpg").read_text() == "precious"


@pytest.mark.parametrize("sharded", [True, False])
def test_the_readers_take_a_folder_and_a_file(row_of_five, tmp_path, sharded):
    encoder, out = colour_encoder(), tmp_path / ("e" if sharded else "e.parquet")
    write_embeddings(encoder, row_of_five, out, shard_size=2, progress=False)
    for kind in ("image", "text"):
        vectors, product_ids = read_vectors(out, encoder, kind)
        assert product_ids == list("rgbwb")
        np.testing.assert_array_equal(vectors, np.eye(5, dtype=np.float32))


def test_an_index_is_built_of_features(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "BLOCK", 2)
    encoder, features = colour_encoder(), tmp_path / "e"
    products = [Product(f"{i}", (png(c), png("white")), (c,)) for i, c in enumerate(COLOURS)]
    shelf = Shelf(products)
    write_embeddings(encoder, shelf, features, shard_size=3, progress=False)
    seen = seen_by(encoder)
    assert build_index(encoder, shelf, tmp_path / "i", features=features, progress=False) == Written(5, 0)
    assert build_index(encoder, shelf, tmp_path / "i", features=features, resume=True, progress=False) == Written(0, 5)
    assert not seen
    index = open_index(str(tmp_path / "i"), encoder)
    means = np.eye(5) + np.eye(5)[3]  # each with white
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(index.vectors([str(i) for i in range(5)]), means, atol=1e-3)
    index.close()
    mixed = Shelf(products[::-1])
    fewer = Shelf(products[:3])
    for catalogue, message in (
        (mixed, "has product '0' where '4'"),
        (fewer, "vectors of 5 products, but shelf split test has 3"),
    ):
        with pytest.raises(InputError, match=message):
            build_index(encoder, catalogue, tmp_path / "j", features=features, progress=False)
    (features / "part-000001.parquet").unlink()
    with pytest.raises(InputError, match="shards are missing"):
        build_index(encoder, shelf, tmp_path / "k", features=features, progress=False)
    (features / MANIFEST).unlink()
    with pytest.raises(InputError, match="embedding was stopped there"):
        build_index(encoder, shelf, tmp_path / "k", features=features, progress=False)


def test_a_stream_is_drawn_block_by_block(shop, tmp_path, monkeypatch):
    """Never more of it than the shard at work needs."""
    stream = open_streams(
        f"hf-stream:{shop / 'train.parquet'}", tags=("brand",), columns=Columns(), on_bad_row="skip", progress=False
    )["train"]
    drawn, at_shard, write = [], [], embed._write_parquet
    usable = stream._usable

    def noting(*args):
        for product in usable(*args):
            drawn.append(product.product_id)
            yield product

    def write_and_note(path, metadata, tables):
        at_shard.append(len(drawn))
        write(path, metadata, tables)

    monkeypatch.setattr(stream, "_usable", noting)
    monkeypatch.setattr(embed, "_write_parquet", write_and_note)
    manifest = write_embeddings(colour_encoder(), stream, tmp_path / "e", shard_size=25, progress=False)
    assert at_shard == [25, 50, 60] and manifest["products"] == 60 and manifest["shards"] == 3
    assert sorted(names_in(tmp_path / "e")) == sorted((k, f"train-{i}", 0) for k in ("image", "text") for i in range(60))


def test_the_command(shop, tiny, tmp_path):
    line = f"embed --model open_clip:{tiny} --device cpu --workers 0 --shard-size 25 --out {tmp_path / 'e'}".split()
    stream = [*line, "--data", f"hf-stream:{shop / 'train.parquet'}"]
    answer = run_command(*stream)
    assert answer.status == 0 and f"wrote 120 vectors of 60 products to {tmp_path / 'e'}" in answer.out
    assert "part-000001.parquet: products up to 50" in answer.err
    catalogue = [*line, "--data", shop, "--split", "train"]
    assert "continue with --resume" in run_command(*catalogue).line
    assert "not" in run_command(*catalogue, "--resume").line  # the data set has another name
    assert "choose one" in run_command(*catalogue, "--resume", "--overwrite").line
    assert run_command(*catalogue, "--overwrite").status == 0
    assert len(names_in(tmp_path / "e")) == 120
    assert "choose --split from train" in run_command(*stream, "--split", "night", "--overwrite").line


class Wide(nn.Module):
    """Embeddings of 2,048 numbers, so that holding them all would show."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def encode_image(self, images):
        return self.scale * images.flatten(1)[:, :1].expand(-1, 2048)

    def encode_text(self, tokens):
        return self.scale * tokens[:, :1].float().expand(-1, 2048)


def embed_many(products: int, folder: str) -> None:
    """What the memory test runs in a process of its own."""
    encoder = colour_encoder(batch_size=50)
    encoder.model = Wide()
    encoder.preprocess = pixels
    write_embeddings(encoder, Repeated([png("white")], products), f"{folder}/{products}", shard_size=500, progress=False)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_products(tmp_path):
    """20,000 further products have vectors of 330 MB."""
    small, large = (peak_memory(embed_many, products, str(tmp_path)) for products in (4_000, 24_000))
    assert large - small < 30e6


def killed_at_a_write(number: int, manner: str, line: list[str]) -> bool:
    """Runs a command in a fork that is killed at its nth file, before or after that gets its name; False if it ends first."""
    if not (child := os.fork()):
        try:
            die_inside("os", "replace", number, manner)
            os._exit(run_command(*line).status)
        finally:
            os._exit(9)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return bool(status)


@pytest.mark.parametrize("name", ["e", "e.parquet"])
def test_a_run_killed_at_each_of_its_files_ends_as_one_that_was_not(shop, tiny, tmp_path, name):
    line = f"embed --model open_clip:{tiny} --data {shop} --split train --device cpu --workers 0 --shard-size 15".split()
    out, kills = tmp_path / name, 0
    while killed_at_a_write(*[(1, "after"), (2, "before")][kills % 2], [*line, "--resume", "--out", str(out)]):
        kills += 1
    assert kills >= 4  # after or before each of four shards and what completes them
    assert run_command(*line, "--out", tmp_path / f"whole-{name}").status == 0
    assert pq.read_table(out).equals(pq.read_table(tmp_path / f"whole-{name}"))
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name or path.name.endswith(".parts")]
