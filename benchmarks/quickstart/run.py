"""Runs the main job on built-in data: trains ``clip`` and ``e2`` at equal budget, evaluates both, shows the tokens'
selections.
"""

from pathlib import Path

import numpy as np
from rich.console import Console

from e2.adapters.encoder import load_encoder
from e2.benchmarks.core.comparison import Comparison
from e2.benchmarks.grounding.selection_picture import draw_selections
from e2.benchmarks.retrieval.evaluate import evaluate_retrieval, results_table
from e2.data import open_catalogue
from e2.errors import going_on_with
from e2.outputs import OutputKind, claim, record_folder
from e2.training.run import start_run

DATA = "boutique:train=3000,val=200,test=1000,seed=0"
OPTIONS = {"backbone": "e2-nano", "epochs": 7.0, "precision": "bf16", "seed": 0, "data.data": DATA, "data.batch_size": 128}
METHODS = ("clip", "e2")
PICTURED = 8  # test products in the picture
PICTURE = "selections.png"
QUICKSTART = OutputKind("a quickstart", finished=PICTURE, begun="[!.]*", names=METHODS)


def quickstart(out: Path, *, resume: bool = False, overwrite: bool = False) -> Comparison:
    """Runs everything in ``out``, or what is left of it, and returns the two models' comparison.

    Raises:
        InputError: the folder holds something else.
        TrainingStopped: a training was interrupted; ``resume`` continues.
    """
    claim(out, QUICKSTART, resume=resume, overwrite=overwrite, remove=False)
    record_folder(out, QUICKSTART)
    console = Console(stderr=True)
    for method in METHODS:
        console.rule(f"training {method}")
        with going_on_with(f"e2 quickstart --out {out} --resume", f"{method}: "):
            start_run(out / method, {**OPTIONS, "method": method}, resume=resume, overwrite=overwrite)
    console.rule("evaluating on test products whose combination of tags never occurs in train")
    test = open_catalogue(DATA, "test", progress=False)
    encoders = [load_encoder(str(out / method)) for method in METHODS]
    comparison = evaluate_retrieval(encoders, test, protocol="full", text="caption", seed=0, out=out)
    Console().print(results_table(comparison))
    picked = np.random.default_rng(0).choice(len(test), PICTURED, replace=False)
    picture = out / PICTURE
    draw_selections(encoders[-1], [test[int(i)] for i in picked], picture)
    console.print(NEXT.format(out=out, picture=picture), highlight=False, soft_wrap=True)
    return comparison


NEXT = """
Everything is in {out}; {picture} shows what each entity's tokens chose.

Now your own catalogue, a folder with train, val and test tables (parquet, csv, tsv or jsonl) of photos, descriptions and tags:
  e2 data info catalogue --tags brand,season --out runs/info
  e2 train --data catalogue --tags brand,season --backbone ViT-B-32 --pretrained openai --out runs/mine
  e2 evaluate retrieval --model runs/mine --model open_clip:ViT-B-32/openai --data catalogue --split test
"""
