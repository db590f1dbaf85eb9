"""A running app follows its index: written to, built anew, removed, built with another encoder."""

import shutil
import time

import pytest
from fastapi.testclient import TestClient

from e2.adapters.encoder import load_encoder
from e2.adapters.search.app import live
from e2.adapters.search.app.api import create_app
from e2.adapters.search.app.start import service_of
from e2.adapters.search.build import build_index, update_index
from e2.adapters.search.index import open_index
from tests.adapters.search.app.conftest import Shelf, products


@pytest.fixture
def place(service, tmp_path):
    build_index(service.models.encoder, Shelf(products()[:12]), tmp_path / "i", progress=False)
    return tmp_path / "i"


@pytest.fixture
def followed(service, place, monkeypatch):
    """A service over the index there, which looks before each answer."""
    monkeypatch.setattr(live, "EVERY", 0)
    encoder = service.models.encoder
    return service_of(open_index(place, encoder), encoder, None, address=str(place))


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def ids(client):
    return {product["product_id"] for product in client.get("/api/search", params={"q": "tee", "k": 100}).json()["products"]}


def test_whatever_becomes_of_the_index_shows(followed, place, tiny, server_log):
    client, encoder = TestClient(create_app(followed), base_url="http://localhost"), followed.models.encoder
    text = followed.models.text
    assert len(ids(client)) == 12 and followed.models.vocabulary["colour"] == ["blue", "green", "grey", "red"]
    update_index(encoder, Shelf(products()[12:20]), place, progress=False)
    assert len(ids(client)) == 20
    build_index(encoder, Shelf(products()[30:], tags=("brand",)), place, overwrite=True, progress=False)
    assert ids(client) == {product.product_id for product in products()[30:]}
    assert client.get("/api/about").json()["entities"] == ["brand"]
    wait_for(lambda: "colour" not in followed.models.vocabulary)
    assert client.get("/api/read", params={"photo": "product:tee-31"}).json()["tags"].keys() == {"brand"}
    assert followed.models.text is text  # what was embedded stays
    shutil.rmtree(place)
    for path in ("/api/search?q=x", "/api/about", "/", "/api/product?id=tee-31"):
        answer = client.get(path)
        assert answer.status_code == 503 and str(place) not in answer.text, path
    build_index(load_encoder(f"open_clip:{tiny}", device="cpu", workers=0), Shelf(products()[:12]), place, progress=False)
    assert client.get("/api/search?q=x").status_code == 503 and "was made with" in server_log.text
    build_index(encoder, Shelf(products()[:15]), place, overwrite=True, progress=False)
    assert len(ids(client)) == 15
