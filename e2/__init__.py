"""E2: a CLIP that reads the details of fashion photos (Qi, Zhao, Li, NeurIPS 2024).

Names load when first used: PyTorch takes seconds to import, which the command line's help should not cost.
"""

import lazy_loader

from e2.errors import InputError
from e2.version import __version__

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoint": ["load"],
        "factory": ["create_model_and_transforms", "get_tokenizer"],
        "model": ["E2"],
    },
)
__all__ = ["E2", "InputError", "__version__", "create_model_and_transforms", "get_tokenizer", "load"]
