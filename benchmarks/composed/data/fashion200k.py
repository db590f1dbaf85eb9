"""Fashion200k (Han et al., ICCV 2017) by the protocol of TIRG (Vo et al., CVPR 2019, arXiv 1812.07119).

A query is a test photo and "replace A with B", the first words in which the captions of source and target differ. The gallery
is every test photo except the query's own; any photo whose caption *string* equals the target's is right.
"""

from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.composed.data.files import read_lines
from e2.benchmarks.composed.data.published import ALL, Annotated, Rows, build_task
from e2.benchmarks.composed.data.task import Task
from e2.benchmarks.composed.data.usable import PublishedQuery
from e2.errors import InputError

KS = (1, 10, 50)
SPELLED_OUT = str.maketrans({".": "dotmark", "?": "questionmark", "&": "andmark", "*": "starmark"})


def load_fashion200k(annotations: str | Path, images: str | Path, *, split: str = "test", missing: str = "error") -> Task:
    """Loads the test queries of TIRG.

    Args:
        annotations: folder with ``test_queries.txt`` and the categories' ``*_test_detect_all.txt``, at any depth.
        images: folder that the labels' paths are relative to.
        split: ``test``, the only one with published queries.
        missing: ``error`` or ``skip``.

    Raises:
        InputError: anything missing, damaged or unknown.
    """
    if split != "test":
        raise InputError(f"Fashion200k has published queries for --split test only, not {split}")
    captions = _captions(Path(annotations))
    queries = _queries(Path(annotations), captions)
    folder = Path(images)
    found = {name: folder / name for name in captions if (folder / name).is_file()}

    def fields(usable: list[PublishedQuery], rows: Rows) -> dict[str, Any]:
        by_caption: dict[str, list[int]] = {}
        for name, row in rows.items():
            by_caption.setdefault(captions[name], []).append(row)
        answers = [np.array(by_caption[captions[query.answers[0]]]) for query in usable]
        return {"answers": answers, "exclude_reference": True, "recall_ks": KS}

    published = {ALL: Annotated(queries, list(captions))}
    return build_task("Fashion200k", "fashion200k_tirg", split, missing, folder, found, published, fields)


def modification(source: str, target: str) -> str:
    """Words ``replace A with B`` with the first words that the other caption lacks (the last word if it lacks none).

    Example:
        >>> modification("black leather jacket", "red leather jacket")
        'replace black with red'
    """
    first, second = source.split(), target.split()
    old = next((word for word in first if word not in second), first[-1])
    new = next((word for word in second if word not in first), second[-1])
    return f"replace {old} with {new}"


def _captions(root: Path) -> dict[str, str]:
    """Maps photo paths to captions with punctuation spelled out, from every ``*test_detect_all.txt`` below a folder.

    A line holds path, detection score and caption, separated by tabs.
    """
    files = sorted(root.rglob("*test_detect_all.txt"))
    if not files:
        raise InputError(f"{root} holds no *_test_detect_all.txt; give the folder of Fashion200k's labels by --annotations")
    captions = {}
    for path in files:
        for number, line in enumerate(read_lines(path), start=1):
            parts = line.split("\t")
            if len(parts) != 3 or not parts[2].split():
                raise InputError(f"{path} line {number}: needs path, score and caption between tabs; get the file again")
            captions[parts[0]] = parts[2].strip().translate(SPELLED_OUT)
    return captions


def _queries(root: Path, captions: dict[str, str]) -> list[PublishedQuery]:
    """Reads the queries: paths of source and target, a pair per line."""
    path = next(iter(sorted(root.rglob("test_queries.txt"))), None)
    if path is None:
        raise InputError(f"{root} holds no test_queries.txt; TIRG publishes it, put it beside Fashion200k's labels")
    queries = []
    for number, line in enumerate(read_lines(path), start=1):
        names = line.split()
        if len(names) != 2 or any(name not in captions for name in names):
            raise InputError(f"{path} line {number}: needs two photo paths that the label files name; get the files again")
        source, target = names
        wish = modification(captions[source], captions[target])
        queries.append(PublishedQuery(f"{source} {target}", source, (target,), wish, f"{path} line {number}"))
    return queries
