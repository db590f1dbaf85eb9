"""Prints LookBench's settings for a folder of ``layouts.py``: ``python look.py FOLDER MODEL``."""

import sys

import yaml

folder, model = sys.argv[1:]
files = {name: f"{folder}/{name}.parquet" for name in ("query", "gallery")}
settings = {
    "global": {},
    "logging": {"level": "INFO", "log_file": f"{folder}/log"},
    "datasets": {"shop": {"data_root": folder, "parquet_files": files}, "batch_size": 16, "num_workers": 0},
    "pipeline": {"name": "evaluation", "model": "e2", "dataset": "shop", "args": {"num_workers": 0, "batch_size": 16}},
    "evaluation": {"metric": "recall", "top_k": [1, 5, 10], "l2norm": True},
    "e2": {"model_name": model, "input_size": 224, "embedding_dim": 512, "device": "cpu"},
}
print(yaml.safe_dump(settings))
