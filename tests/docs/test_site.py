"""The site builds without warnings and without the network."""

import os
import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT

pytest.importorskip("mkdocs", reason="pip install 'e2-fashion[docs]' to build the site")
REMOTE = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"https?://")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site: as ``make docs`` has just built it, where ``E2_SITE`` names its folder; else built here in the same way."""
    if "E2_SITE" in os.environ:
        return ROOT / os.environ["E2_SITE"]
    out = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out


def test_no_page_asks_for_anything_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 12
    assert not [page.name for page in pages if REMOTE.search(page.read_text(encoding="utf-8"))]


def test_every_command_has_its_page(site):
    overview = (site / "commands.html").read_text(encoding="utf-8")
    for command in ("e2 train", "e2 evaluate retrieval", "e2 compose search", "e2 data info"):
        page = f"commands/{command.removeprefix('e2 ').replace(' ', '-')}.html"
        assert f'href="{page}">{command}<' in overview
        assert f">{command}<" in (site / page).read_text(encoding="utf-8")
    assert "--chunk-size" in (site / "commands" / "train.html").read_text(encoding="utf-8")


def test_the_reference_holds_the_public_names(site):
    for page, name in (
        ("encoder", "e2.factory.create_model_and_transforms"),
        ("encoder", "e2.adapters.encoder.Encoder.encode_regions"),
        ("data", "e2.data.sources.open_catalogue"),
        ("training", "e2.config.LossConfig"),
        ("adapters", "e2.adapters.composed.methods.make_composer"),
        ("benchmarks", "e2.benchmarks.core.bootstrap.interval"),
    ):
        assert f'id="{name}"' in (site / "api" / f"{page}.html").read_text(encoding="utf-8")
