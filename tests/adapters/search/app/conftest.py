"""A small shop with one hostile product, indexed by an untrained encoder with entities, and the app over it."""

import io
import logging
import threading
from dataclasses import dataclass

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

import e2
from e2.adapters.captioning import fit_captioner
from e2.adapters.encoder import load_encoder
from e2.adapters.search.app.api import create_app
from e2.adapters.search.app.server import _listener, server_of
from e2.adapters.search.app.start import service_of
from e2.adapters.search.build import build_index
from e2.adapters.search.index import open_index
from e2.checkpoint import save_config, save_weights
from e2.data.product import Product
from tests.conftest import jpeg

TAGS = ("brand", "colour")
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "grey": (120, 120, 120)}
OWN = "document.title='owned'"
HOSTILE = f'</script><script>{OWN}</script><img src=x onerror="{OWN}"> \u202ered'
WAIT = 30_000  # milliseconds for a browser on a busy machine
COLON = "care:wash"  # a tag's name
HOSTILE_ID = '../../etc/passwd?"<b>'


@dataclass
class Shelf:
    """A catalogue from a list of products."""

    products: list[Product]
    name: str = "<i>shelf</i>"
    split: str = "test"
    tags: tuple[str, ...] = (*TAGS, "price", COLON)

    def __len__(self) -> int:
        return len(self.products)

    def __getitem__(self, row: int) -> Product:
        return self.products[row]


def products() -> list[Product]:
    """40 tees of four colours, two brands and different prices, the last one hostile in every text and without a price."""
    names = list(COLOURS)
    made = [
        Product(
            f"tee-{i}",
            (jpeg(COLOURS[names[i % 4]], i),),
            (f"A {names[i % 4]} tee number {i}",),
            {"brand": ("Nike", 'Levi\'s "501" \\ co')[i // 4 % 2], "colour": names[i % 4], "price": str(i * 7 % 39)},
        )
        for i in range(39)
    ]
    made[7].tags[COLON] = "cold: 30"
    return [*made, Product(HOSTILE_ID, (jpeg((0, 0, 0), 99),), (HOSTILE,), {"brand": HOSTILE, "colour": "red"})]


def png(size: tuple[int, int] = (60, 40), colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def service(tiny, tmp_path_factory):
    """The real thing in small: encoder with entities, captioner (nearest text), index in a folder."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "encoder").mkdir()
    torch.manual_seed(3)
    model, _, _ = e2.create_model_and_transforms(tiny, tags=TAGS)
    save_weights(model, folder / "encoder")
    save_config(folder / "encoder", backbone=tiny, model=model, method="e2", training={})
    encoder = load_encoder(folder / "encoder", device="cpu", workers=0)
    captioner = fit_captioner("nearest", encoder, [f"A {colour} tee" for colour in COLOURS], folder / "captioner")
    build_index(encoder, Shelf(products()), folder / "index", progress=False)
    return service_of(open_index(folder / "index", encoder), encoder, captioner)


@pytest.fixture(scope="session")
def client(service) -> TestClient:
    return TestClient(create_app(service), base_url="http://localhost")


@pytest.fixture(scope="package")
def address(service):
    """The app on a real port."""
    listener = _listener("127.0.0.1", 0)
    server = server_of(create_app(service))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def context(browser, address):
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def page(context, address):
    """A tab, which at the end must have had no error and asked nobody but the app."""
    page = context.new_page()
    page.set_default_timeout(WAIT)
    problems, asked = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if "Content Security" in line.text else None)
    page.on("request", lambda request: asked.append(request.url))
    yield page
    assert not problems and all(url.startswith((address, "blob:", "data:")) for url in asked)


def shown(page) -> list[str]:
    page.locator("#results:not([aria-busy]) .card").first.wait_for()
    return page.locator("#results .caption").all_inner_texts()


@pytest.fixture
def server_log(caplog):
    """Log of the server, whatever level and propagation other tests have left."""
    log = logging.getLogger("uvicorn.error")
    level = log.level
    log.addHandler(caplog.handler)
    log.setLevel(logging.WARNING)
    yield caplog
    log.setLevel(level)
    log.removeHandler(caplog.handler)
