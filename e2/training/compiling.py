"""Compiles the blocks of the image tower by ``torch.compile``: one graph serves all of them, and weights keep their names.

Texts are laid out in other shapes each step (``e2.packing``), so their tower stays as it is. Training steps alone run
compiled: validation and what frozen layers give a cache are computed as the saved model computes them.
"""

import contextlib
import os
import shutil
from typing import Any

import torch

from e2.config import TrainConfig
from e2.errors import InputError
from e2.model import E2
from e2.towers import open_tower

OPTIONS: dict[str, Any] = {"backend": "inductor", "options": {"fallback_random": True}}  # dropout draws as it does uncompiled
COMPILERS = ("g++", "clang++", "cl")


def compile_blocks(model: E2, sharded: bool) -> None:
    """Lets each block of the image tower be compiled when it first runs.

    Raises:
        InputError: sharded weights, no C++ compiler, or no ViT.
    """
    if sharded:
        raise InputError("compile=true does not go with FSDP here; leave one of them out")
    if not any(map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))):
        raise InputError("compile=true needs a C++ compiler; install g++, or leave it out")
    for block in open_tower(model.visual).blocks:
        block.compile(**OPTIONS)


def uncompiled(config: TrainConfig) -> contextlib.AbstractContextManager:
    """Lets compiled blocks run as they are written."""
    return torch.compiler.set_stance("force_eager") if config.compile else contextlib.nullcontext()
