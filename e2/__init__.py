"""E2: a CLIP that reads the details of fashion photos (Qi, Zhao, Li, NeurIPS 2024)."""

from e2.checkpoint import load
from e2.errors import InputError
from e2.factory import create_model_and_transforms, get_tokenizer
from e2.model import E2
from e2.version import __version__

__all__ = ["E2", "InputError", "__version__", "create_model_and_transforms", "get_tokenizer", "load"]
