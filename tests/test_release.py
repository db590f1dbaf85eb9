"""What is handed to users: the wheel and the source archive hold everything, and the wheel works where nothing else is."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from e2.version import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = ("e2", "adapters", "benchmarks")
BUILD = "from setuptools import build_meta as b; b.build_wheel('out'); b.build_sdist('out')"


def docker_sources() -> list[str]:
    """What the Dockerfile copies into the stage that builds the wheel."""
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return [name for line in copied for name in line.split()]


def package_files() -> set[str]:
    """Every file that a package needs at work: all but notes and committed results."""
    found = (path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    kept = [p for p in found if p.suffix not in (".md", ".pyc", ".sh") and p.parts[:2] != ("benchmarks", "results")]
    return {str(path if path.parts[0] == "e2" else "e2" / path) for path in kept}


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> Path:
    """The folder with wheel and source archive, built from a copy that holds no more than the Dockerfile's context."""
    folder = tmp_path_factory.mktemp("build")
    for name in docker_sources():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "results"))
        else:
            shutil.copy(ROOT / name, folder / name)
    done = subprocess.run([sys.executable, "-c", BUILD], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_the_wheel_holds_every_file_of_the_packages(archives):
    (wheel,) = archives.glob(f"e2_fashion-{__version__}-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    assert package_files() - names == set()  # what is missing here is missing in [tool.setuptools.package-data]
    assert {name.partition("/")[0] for name in names} == {"e2", f"e2_fashion-{__version__}.dist-info"}  # nobody else's names


def test_the_source_archive_holds_them_too(archives):
    (archive,) = archives.glob("e2_fashion-*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert package_files() | {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_context_of_the_image_lets_its_sources_through():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(docker_sources()) == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["preferred-citation"]["year"] == 2024 and len(citation["preferred-citation"]["authors"]) == 3


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment(archives, tmp_path):
    """Installs it with its dependencies from the package index (some GB with PyTorch), far from the sources, and runs it."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    (wheel,) = archives.glob("*.whl")
    subprocess.run([tmp_path / "venv/bin/pip", "install", "--quiet", wheel], check=True)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def e2(*arguments: str) -> str:
        done = subprocess.run([tmp_path / "venv/bin/e2", *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "quickstart" in e2("--help")
    data = ("--data", "boutique:train=60,val=20,test=40,seed=1")
    e2("train", *data, "--steps", "5", "--batch-size", "20", "--device", "cpu", "--out", "run")
    e2("evaluate", "retrieval", "--model", "run", *data, "--device", "cpu", "--out", "measured")
    assert (tmp_path / "measured" / "metrics.json").exists()
