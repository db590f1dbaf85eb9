"""The plan of the house: imports run one way and never in a circle, a class name means one thing, encoders have one face."""

import ast
import re
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.shared import ROOT

BELOW = {  # what each may import besides itself
    "e2": set(),
    "adapters": {"e2"},
    "benchmarks": {"adapters", "e2"},
    "commands": {"benchmarks", "adapters", "e2"},
    "cli": {"commands", "e2"},
}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module by its name as it is imported, e.g. ``e2.adapters.encoder``."""
    files = (path for package in BELOW for path in (ROOT / package).rglob("*.py") if "results" not in path.parts)
    return {_name(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in files}


def _name(path: Path) -> str:
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    return ".".join(parts if parts[0] == "e2" else ["e2", *parts])


def package_of(module: str) -> str:
    second = module.split(".")[1:2]
    return second[0] if second and second[0] in BELOW else "e2"


@cache
def imports_of(module: str) -> set[str]:
    """Our modules that a module imports, at its top or within its functions."""
    found = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & modules().keys()) or {node.module}
    return (found & modules().keys()) - {module}


def test_imports_run_one_way():
    wrong = [
        f"{module} -> {imported}"
        for module in modules()
        for imported in imports_of(module)
        if package_of(imported) not in BELOW[package_of(module)] | {package_of(module)}
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter({module: imports_of(module) for module in modules()}).prepare()
    except CycleError as circle:
        raise AssertionError(" -> ".join(circle.args[1])) from None


def test_a_class_name_stands_for_one_thing():
    places = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


INSIDE = ("e2.adapters.encoder", "e2.adapters.export", "e2.adapters.programs", "e2.benchmarks.speed")  # may see the model


def test_an_encoder_is_known_only_through_its_interface():
    reaching = [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, tree in modules().items()
        if package_of(module) in ("adapters", "benchmarks") and not module.startswith(INSIDE)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "model"
        and re.search(r"encoder(s\[.*\])?$", ast.unparse(node.value))
    ]
    assert reaching == []


def test_docstrings_start_with_a_verb_or_a_noun():
    opening = re.compile(r"(What|Where|When|How|Who|Which|Whether|Of|That)\b")
    found = [
        f"{module}: {text.partition(chr(10))[0]}"
        for module, tree in modules().items()
        if not module.startswith("e2.data.boutique")  # any change of its text draws every cached catalogue anew
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if opening.match(text := ast.get_docstring(node) or "")
    ]
    assert found == []
