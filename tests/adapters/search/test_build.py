"""Building, resuming after death, and bringing an index up to date."""

import io
import json
import os
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from e2.adapters.product_vector import ALL_PHOTOS, FIRST_PHOTO
from e2.adapters.search import build
from e2.adapters.search.build import Written, build_index, digest_of, update_index
from e2.adapters.search.index import open_index
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.store import read_manifest
from e2.adapters.search.vector_files import VectorFiles
from e2.data import open_catalogue
from e2.errors import InputError
from tests.adapters.search.conftest import manifest
from tests.conftest import jpeg

TAGS = ("brand", "season", "colour")


class Stub:
    """Looks at mean colours in NumPy alone, so that it may run in a fork; counts the photos it has seen."""

    workers, tags = 1, ()

    def __init__(self, weights="stub"):
        self.info = {"path": weights, "weights_sha256": weights, "backbone": "none", "method": "stub"}
        self.seen = 0

    def encode_images(self, images, progress=True):
        self.seen += len(images)
        means = np.stack([np.asarray(image, np.float32).reshape(-1, 3).mean(0) for image in images])
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def encode_texts(self, texts, progress=True):
        return np.ones((len(texts), 3), np.float32)


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    monkeypatch.setattr(build, "BLOCK", 8)


@pytest.fixture
def catalogue(shop):
    return open_catalogue(str(shop), "train", tags=TAGS)


def contents(place):
    """All that an index tells, by id."""
    index = open_index(place)
    names = [hit.product_id for hit in index.search(np.ones(3), 1000)[0]]
    assert len(names) == len(set(names)) == len(index)
    found = {}
    for hit in index.get(sorted(names)):
        vector = tuple(index.vectors([hit.product_id])[0])
        found[hit.product_id] = (hit.caption, tuple(hit.tags.items()), vector, index.thumbnail(hit.product_id))
    index.close()
    return found


def test_an_index_holds_the_catalogue(catalogue, tmp_path):
    encoder = Stub()
    assert build_index(encoder, catalogue, tmp_path / "i") == Written(60, 0)
    found = contents(tmp_path / "i")
    assert list(found) == sorted(catalogue[row].product_id for row in range(60))
    index = open_index(tmp_path / "i", encoder)
    manifest = index.manifest
    assert (manifest.count, manifest.dim, manifest.entities, manifest.split) == (60, 3, TAGS, "train")
    assert manifest.complete and manifest.encoder == encoder.info
    product = catalogue[7]
    (hit,) = index.get([product.product_id])
    assert (hit.caption, hit.tags) == (product.captions[0], dict(product.tags)) and "brand" not in hit.tags
    with Image.open(io.BytesIO(index.thumbnail(product.product_id))) as small:
        assert small.format == "JPEG" and max(small.size) == 40
    with pytest.raises(InputError, match=r"was made with stub \(\w+\), not with other"):
        open_index(tmp_path / "i", Stub("other"))
    index.close()


POINTS = [  # class, method, its call that kills, and the products there by then
    (LocalStore, "write", 1, 0),
    (VectorFiles, "append", 3, 16),
    (LocalStore, "_set_complete", 5, 32),
    (LocalStore, "finish", 1, 60),
    (LocalStore, "_cluster", 1, 60),
]


@pytest.mark.parametrize(("kind", "point", "nth", "there"), POINTS)
def test_a_killed_build_goes_on_without_doubles(catalogue, tmp_path, kind, point, nth, there):
    build_index(Stub(), catalogue, tmp_path / "whole")
    child = os.fork()
    if not child:
        original, calls = getattr(kind, point), []

        def killed(*args):
            calls.append(1)
            if len(calls) == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args)

        setattr(kind, point, killed)
        build_index(Stub(), catalogue, tmp_path / "i")
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with pytest.raises(InputError, match="--resume"):
        build_index(Stub(), catalogue, tmp_path / "i")
    encoder = Stub()
    done = build_index(encoder, catalogue, tmp_path / "i", resume=True)
    assert done.written + done.unchanged == 60 and encoder.seen == done.written
    assert done.unchanged == there
    assert contents(tmp_path / "i") == contents(tmp_path / "whole")
    assert open_index(tmp_path / "i").manifest.complete


def test_pictures_have_the_side_that_was_asked_for(shop, catalogue, tmp_path):
    build_index(Stub(), catalogue, tmp_path / "i", picture_side=20)
    update_index(Stub(), open_catalogue(str(shop), "val", tags=TAGS), tmp_path / "i")  # others, of the same side
    sides = [max(Image.open(io.BytesIO(picture)).size) for *_, picture in contents(tmp_path / "i").values()]
    assert len(sides) > 60 and set(sides) == {20}
    build_index(Stub(), catalogue, tmp_path / "i", resume=True)
    with pytest.raises(InputError, match="20 pixels, not 30; resume with --picture-side 20"):
        build_index(Stub(), catalogue, tmp_path / "i", picture_side=30, resume=True)
    record = manifest().record()
    del record["picture_side"]
    assert read_manifest(json.dumps(record), "an older index").picture_side == 256


def test_update_embeds_what_changed(shop, catalogue, tmp_path):
    build_index(Stub(), catalogue, tmp_path / "i")
    before = contents(tmp_path / "i")
    rows = pq.read_table(shop / "train.parquet").slice(0, 20).to_pylist()
    rows[0]["caption"] = "other words"
    rows[1]["image"] = {"bytes": jpeg((250, 250, 0), 1), "path": None}
    rows[2]["season"] = None
    rows[3]["product_id"] = "new"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "news.parquet")
    news = open_catalogue(str(tmp_path / "news.parquet"), tags=TAGS)
    encoder = Stub()
    assert update_index(encoder, news, tmp_path / "i") == Written(4, 16) and encoder.seen == 4
    after = contents(tmp_path / "i")
    changed = {"train-0", "train-1", "train-2", "new"}
    assert {name for name in after if after[name] != before.get(name)} == changed
    assert set(after) == {*before, "new"} and after["train-0"][0] == "other words"
    assert update_index(encoder, news, tmp_path / "i") == Written(0, 20)


def test_digests_part_what_differs(catalogue):
    digests = {digest_of(catalogue[row], ALL_PHOTOS) for row in range(60)}
    assert len(digests) == 60 and digest_of(catalogue[3], FIRST_PHOTO) in digests  # it has one photo


def test_what_is_refused(shop, catalogue, tmp_path):
    build_index(Stub(), catalogue, tmp_path / "i")
    val = open_catalogue(str(shop), "val", tags=TAGS)
    for call, message in (
        (lambda: build_index(Stub("other"), catalogue, tmp_path / "i", resume=True), "not with other"),
        (lambda: build_index(Stub(), val, tmp_path / "i", resume=True), "was begun with"),
        (lambda: build_index(Stub(), catalogue, tmp_path / "i", vector_type="int8", resume=True), "resume with .*float32"),
        (lambda: update_index(Stub("other"), val, tmp_path / "i"), "not with other"),
        (lambda: update_index(Stub(), val, tmp_path / "none"), "is not an index"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    build_index(Stub(), open_catalogue(str(shop), "val", tags=("brand",)), tmp_path / "few")
    with pytest.raises(InputError, match="built without the tag season, colour"):
        update_index(Stub(), val, tmp_path / "few")
    assert build_index(Stub("other"), val, tmp_path / "i", overwrite=True) == Written(12, 0)
