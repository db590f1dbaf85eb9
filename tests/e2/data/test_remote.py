"""Remote tables and shards: fetched once, whole or not at all, and from public addresses alone."""

import shutil
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from e2.data import open_catalogue, remote
from e2.data.fetch import addresses
from e2.errors import InputError
from tests.command import run_command

LATER = 2  # requests after which a busy file is served


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; ``/busy/NAME`` not at once, ``/cut/NAME`` breaks off."""

    asked: Counter[str]

    def do_GET(self):
        self.asked[self.path] += 1
        kind, _, name = self.path.strip("/").rpartition("/")
        if kind == "busy" and self.asked[self.path] <= LATER:
            return self.send_error(503)
        if kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PAR1")
            return None
        self.path = f"/{name}"
        return super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(shop, tmp_path, monkeypatch):
    """Address of a server on this machine, and what it was asked; the cache is empty."""
    folder = tmp_path / "served"
    answer = run_command("data", "import", shop, "--to", "webdataset", "--shard-size", 20, "--tags", "brand", "--out", folder)
    assert answer.status == 0, answer
    shutil.copy(shop / "val.parquet", folder / "products.parquet")
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    handler = type("Own", (Handler,), {"asked": Counter()})
    serving = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: handler(*args, directory=folder))
    threading.Thread(target=serving.serve_forever, args=[0.05], daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}", handler.asked, folder
    serving.shutdown()
    serving.server_close()


@pytest.fixture
def reached(monkeypatch):
    """Lets files be fetched from this machine."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache" / "remote").rglob("*") if path.is_file())


def test_remote_shards_and_tables_are_those_on_disk_and_fetched_once(server, reached, shop, tmp_path):
    address, asked, folder = server
    shards = f"webdataset:{address}/train-{{000000..000002}}.tar"
    for _ in range(2):
        found = open_catalogue(shards, "train", tags=("brand",), progress=False)
        assert list(found) == list(open_catalogue(f"webdataset:{folder}", "train", tags=("brand",), progress=False))
        table = open_catalogue(f"{address}/busy/products.parquet", tags=("brand",), progress=False)
        assert list(table) == list(open_catalogue(str(shop), "val", tags=("brand",), progress=False))
    assert found.name == shards and set(asked.values()) == {1, LATER + 1} and len(asked) == 4
    assert kept(tmp_path) == ["products.parquet", *(f"train-00000{number}.tar" for number in range(3))]


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
