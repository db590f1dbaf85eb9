"""What is handed to users: the wheel and the source archive hold everything, and the wheel works where nothing else is."""

import email
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
    assert package_files() | {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= names


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


def test_the_readme_renders_on_a_package_index(archives):
    renderer = pytest.importorskip("readme_renderer.markdown", reason="readme-renderer[md] is not installed")
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        metadata = email.message_from_bytes(content.read(f"e2_fashion-{__version__}.dist-info/METADATA"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = renderer.render(metadata.get_payload())
    assert page and page.count("<h2") == (ROOT / "README.md").read_text(encoding="utf-8").count("\n## ")
    assert re.findall(r'(?:href|src)="(?!https?:|#|mailto:)[^"]*"', page) == []  # a relative one leads nowhere there
    assert "](" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)


class CleanEnvironment:
    """A virtual environment, and a folder to work in whose ``cli.py`` and ``adapters/`` are the user's own."""

    def __init__(self, folder: Path):
        self.python, self.work = folder / "venv" / "bin" / "python", folder / "work"
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        (self.work / "adapters").mkdir(parents=True)
        for name in ("cli.py", "adapters/__init__.py"):
            (self.work / name).write_text("OWN = True\n")

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        command = [self.python, *arguments]
        done = subprocess.run(command, cwd=cwd or self.work, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def pip(self, *arguments: str | Path) -> str:
        return self.run("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)

    def files(self) -> set[str]:
        """All that is installed, but for what Python compiled."""
        root = self.python.parents[1]
        return {str(path.relative_to(root)) for path in root.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def clean(tmp_path) -> CleanEnvironment:
    return CleanEnvironment(tmp_path)


def stand_in(folder: Path) -> Path:
    """A wheel like that of the popular package ``adapters``: a module on the top level of site-packages."""
    (folder / "adapters").mkdir(parents=True)
    (folder / "adapters" / "__init__.py").write_text("NEIGHBOUR = True\n")
    (folder / "pyproject.toml").write_text('[project]\nname = "adapters"\nversion = "1.0"\n')
    subprocess.run(
        [sys.executable, "-c", "from setuptools import build_meta as b; b.build_wheel('.')"], cwd=folder, check=True
    )
    return next(folder.glob("*.whl"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["wheel", "source archive", "folder", "editable"])
def test_an_installation_leaves_its_neighbours_alone(archives, clean, tmp_path, form):
    """Of each form beside a package ``adapters``; dependencies are this environment's."""
    source = {"wheel": "out/*.whl", "source archive": "out/*.tar.gz"}.get(form, "")
    target = next(archives.parent.glob(source)) if source else archives.parent
    clean.pip("install", stand_in(tmp_path / "neighbour"))
    before = clean.files()
    clean.pip("install", "--no-deps", *(["--editable"] if form == "editable" else []), target)
    others = next(clean.python.parents[1].glob("lib/python*/site-packages")) / "others.pth"
    others.write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    imported = "import adapters, e2.adapters.encoder, e2.benchmarks.core.bootstrap as b; print(e2.__file__, b.__file__, "
    here = clean.run("-c", imported + "adapters.OWN)").split()
    assert here[2] == "True" and all((str(archives.parent) in path) == (form == "editable") for path in here[:2])
    assert clean.run("-c", imported + "adapters.NEIGHBOUR)", cwd=tmp_path).split()[2] == "True"
    for command in (("-m", "e2.cli"), (clean.python.parent / "e2",)):
        assert "quickstart" in clean.run(*command, "--help")
    others.unlink()
    clean.pip("uninstall", "--yes", "e2-fashion")
    assert clean.files() == before


@pytest.mark.slow
def test_the_base_installation_works_in_a_clean_environment(archives, clean):
    """Takes its dependencies from the package index (some GB with PyTorch), beside the real ``adapters``."""
    (wheel,) = archives.glob("*.whl")
    clean.pip("install", wheel, "adapters")
    assert clean.run("-c", "import adapters; print(adapters.__version__)", cwd=clean.python.parent).strip() >= "1"
    e2 = clean.python.parent / "e2"
    data = ("--data", "boutique:train=60,val=20,test=40,seed=1")
    clean.run(e2, "train", *data, "--steps", "5", "--batch-size", "20", "--device", "cpu", "--out", "run")
    clean.run(e2, "evaluate", "retrieval", "--model", "run", *data, "--device", "cpu", "--out", "measured")
    assert (clean.work / "measured" / "metrics.json").exists()
