"""Remote tables and shards: fetched once, whole or not at all, and from public addresses alone."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import fsspec
import pytest

from e2.data import open_catalogue, remote, shard_files, shards
from e2.data.room import NOTE
from e2.errors import InputError
from tests.command import run_command
from tests.e2.data.file_server import LATER, Handler, serving


@pytest.fixture
def server(shop, tmp_path, monkeypatch):
    """Address of a server on this machine, what it was asked, and its folder of shards and a table."""
    folder = tmp_path / "served"
    answer = run_command("data", "import", shop, "--to", "webdataset", "--shard-size", 20, "--tags", "brand", "--out", folder)
    assert answer.status == 0, answer
    shutil.copy(shop / "val.parquet", folder / "products.parquet")
    with serving(folder) as own:
        monkeypatch.setattr(Handler, "own", own, raising=False)
        yield own.address, own.asked, folder


def kept(tmp_path):
    files = (path for path in (tmp_path / "cache" / "remote").rglob("*") if path.is_file())
    return sorted(path.name for path in files if not path.name.endswith(NOTE))


def test_remote_shards_and_tables_are_those_on_disk_and_fetched_once(server, reached, shop, tmp_path):
    address, asked, folder = server
    spec = f"webdataset:{address}/train-{{000000..000002}}.tar"
    for _ in range(2):
        found = open_catalogue(spec, "train", tags=("brand",), progress=False)
        assert list(found) == list(open_catalogue(f"webdataset:{folder}", "train", tags=("brand",), progress=False))
        table = open_catalogue(f"{address}/busy/products.parquet", tags=("brand",), progress=False)
        assert list(table) == list(open_catalogue(str(shop), "val", tags=("brand",), progress=False))
    assert found.name == spec and set(asked.values()) == {1, LATER + 1} and len(asked) == 4
    assert kept(tmp_path) == ["products.parquet", *(f"train-00000{number}.tar" for number in range(3))]


def test_only_the_splits_that_are_used_are_fetched(server, reached):
    address, asked, folder = server
    spec = f"webdataset:{address}/{{train-000000,train-000001,val-000000}}.tar"
    assert list(open_catalogue(spec, "val", progress=False)) == list(
        open_catalogue(f"webdataset:{folder}", "val", progress=False)
    )
    assert set(asked) == {"/val-000000.tar"}


def test_copies_are_looked_for_once(server, reached, monkeypatch):
    looked, arrive = [], shards.arrive
    monkeypatch.setattr(shards, "arrive", lambda missing: looked.append(len(missing)) or arrive(missing))
    list(open_catalogue(f"webdataset:{server[0]}/train-{{000000..000002}}.tar", "train", tags=("brand",), progress=False))
    assert looked == [3]


def test_photos_are_checked_while_other_shards_are_on_their_way(server, reached, monkeypatch):
    address, _, folder = server
    truth, decode = open_catalogue(f"webdataset:{folder}", "train", progress=False), shard_files.check_image
    monkeypatch.setattr(shard_files, "check_image", lambda image: (decode(image), Handler.own.decoded.set()))
    monkeypatch.setattr("e2.data.check.check_image", None)  # nothing is left to decode
    spec = f"webdataset:{address}/{{train-000000,late/train-000001,late/train-000002}}.tar"
    assert list(open_catalogue(spec, "train", progress=False)) == list(truth)
    assert Handler.own.late == [True, True]


def test_what_two_open_at_once_is_fetched_and_decoded_once(server, reached, monkeypatch):
    address, asked, _ = server
    decoded, decode = [], shard_files.check_image
    monkeypatch.setattr(shard_files, "check_image", lambda image: (decoded.append(image), decode(image)))
    monkeypatch.setattr("e2.data.check.check_image", None)
    spec = f"webdataset:{address}/train-{{000000..000002}}.tar"
    with ThreadPoolExecutor(2) as pool:
        left, right = pool.map(lambda _: list(open_catalogue(spec, "train", progress=False)), range(2))
    assert left == right and set(asked.values()) == {1}
    assert len(decoded) == sum(len(product.images) for product in left)


def test_a_bad_photo_in_a_remote_shard_is_named(server, reached):
    address, _, folder = server
    shard = folder / "train-000001.tar"
    contents = bytearray(shard.read_bytes())
    start = contents.index(b"\xff\xd8\xff")
    contents[start : start + 300] = bytes(300)
    shard.write_bytes(contents)
    spec = f"webdataset:{address}/train-{{000000..000002}}.tar"
    found = open_catalogue(spec, "train", on_bad_row="skip", progress=False)
    assert found.bad_rows == {"broken image": 1}
    assert found.bad_rows == open_catalogue(f"webdataset:{folder}", "train", on_bad_row="skip", progress=False).bad_rows


def test_a_transfer_that_breaks_off_goes_on_where_it_broke(server, reached, shop, tmp_path):
    address, asked, folder = server
    table = open_catalogue(f"{address}/halves/products.parquet", tags=("brand",), progress=False)
    assert list(table) == list(open_catalogue(str(shop), "val", tags=("brand",), progress=False))
    assert asked == {"/halves/products.parquet": LATER + 1}
    answer = run_command("data", "info", f"{address}/changing/products.parquet")
    assert answer.status == 2 and "cannot be continued; try again" in answer.line
    assert kept(tmp_path) == ["products.parquet"]


def test_object_stores_are_read_by_fsspec(server, tmp_path, monkeypatch):
    _, _, folder = server
    monkeypatch.setattr(remote, "STORES", ("memory",))
    with fsspec.open("memory://bucket/products.parquet", "wb") as file:
        file.write((folder / "products.parquet").read_bytes())
    assert len(open_catalogue("memory://bucket/products.parquet", progress=False)) == 12
    with pytest.raises(InputError, match=r"bucket/other.parquet: cannot be fetched"):
        open_catalogue("memory://bucket/other.parquet", progress=False)
    assert kept(tmp_path) == ["products.parquet"]


def test_a_file_that_breaks_off_is_no_file(server, reached, tmp_path):
    address, _, _ = server
    answer = run_command("data", "info", f"{address}/cut/products.parquet?signed=secret")
    assert answer.status == 2 and "products.parquet: cannot be fetched" in answer.line and "secret" not in answer.err
    assert not kept(tmp_path)


def test_machines_behind_the_firewall_are_not_asked(server, tmp_path):
    address, asked, _ = server
    answer = run_command("data", "info", f"{address}/products.parquet")
    assert answer.status == 2 and "at a private address" in answer.line
    assert not asked and not kept(tmp_path)


def test_offline_nothing_is_fetched(server, reached, monkeypatch):
    address, asked, _ = server
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    answer = run_command("data", "info", f"{address}/products.parquet")
    assert answer.status == 2 and "HF_HUB_OFFLINE is set" in answer.line and not asked


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{address}/none.parquet", "http 404"),
        ("{address}/", "names no file"),
        ("{address}/a/..", "names no file"),
        ("ftp://example.org/a.parquet", "unknown kind of address; there are http, https, s3"),
        ("s3://a.parquet::http://127.0.0.1/b.parquet", "unknown kind of address"),
    ],
)
def test_addresses_that_do_not_fit_are_refused(server, reached, spec, said):
    answer = run_command("data", "info", spec.format(address=server[0]))
    assert answer.status == 2 and said in answer.line, answer
