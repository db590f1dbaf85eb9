"""Every Python example of the documentation runs, page by page from top to bottom, on a small model and catalogue."""

import shutil

import pytest

from e2.adapters.captioning.fit import fit_captioner
from e2.adapters.encoder import load_encoder
from e2.data import open_catalogue
from e2.training.run import start_run
from tests.conftest import TAGS, jpeg
from tests.docs.blocks import PAGES, blocks

EXAMPLES = [page for page in PAGES if blocks(page, "python") and page.stem != "scaling"]  # Ray: test_ray.py


@pytest.fixture(scope="module")
def place(tiny, shop, tmp_path_factory):
    """A folder in which the names that the pages use are real: catalogue/, photos/, runs/mine, runs/decap."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(shop, folder / "catalogue")
    shutil.copy(shop / "val.parquet", folder / "catalogue" / "test.parquet")
    (folder / "photos").mkdir()
    for name, colour in {"a": (200, 30, 30), "b": (30, 180, 40), "c": (30, 40, 200)}.items():
        (folder / "photos" / f"{name}.jpg").write_bytes(jpeg(colour, seed=len(name)))
    options = {"method": "e2", "backbone": tiny, "steps": 4, "device": "cpu", "data.data": str(folder / "catalogue")}
    start_run(folder / "runs" / "mine", {**options, "data.tags": ",".join(TAGS), "data.batch_size": 20, "data.workers": 0})
    encoder = load_encoder(folder / "runs" / "mine", device="cpu", workers=0)
    texts = open_catalogue(str(folder / "catalogue"), "train", tags=TAGS)
    fit_captioner("nearest", encoder, texts, folder / "runs" / "decap")
    return folder


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples_run(page, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    namespace: dict = {}
    for block in blocks(page, "python"):
        exec(compile(block.text, str(page), "exec"), namespace)
    if page.stem == "plugging-in":
        printed = capsys.readouterr().out
        assert "a blue tee" in printed and "accuracy" in printed and "'colour'" in printed
        assert abs(namespace["probabilities"].sum().item() - 1) < 1e-5


def test_the_pages_with_examples_are_found():
    assert {"catalogue", "plugging-in", "captioning", "composed"} <= {page.stem for page in EXAMPLES}
