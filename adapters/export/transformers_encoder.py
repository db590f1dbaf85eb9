"""Loads an exported transformers folder as an :class:`~e2.adapters.encoder.Encoder`, prepared as its users will."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.adapters.encoder import Encoder
from e2.adapters.export.record import read_export
from e2.adapters.export.tokenizer_files import load_tokenizer
from e2.data.images import ImageSource, as_photo
from e2.errors import InputError


class TransformersTokenizer:
    """``AutoTokenizer`` called like open_clip's tokenizers: list of strings -> (B, L)."""

    def __init__(self, folder: Path):
        from transformers import AutoTokenizer

        # Otherwise transformers would ask for permission: the folder's configuration names code, if not for this.
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=True)
        self.context_length = self.tokenizer.model_max_length

    def __call__(self, texts: Sequence[str], context_length: int | None = None) -> Tensor:
        length = context_length or self.context_length
        options = {"padding": "max_length", "truncation": True, "max_length": length, "return_tensors": "pt"}
        return self.tokenizer(list(texts), **options).input_ids


class TransformersModel(nn.Module):
    """``AutoModel`` of a folder just written here, called like an open_clip model.

    Its code is run, so it must be our own.
    """

    def __init__(self, folder: Path):
        super().__init__()
        from transformers import AutoImageProcessor, AutoModel
        from transformers.utils import logging

        options = {"local_files_only": True, "trust_remote_code": True}
        logging.disable_progress_bar()
        try:
            self.model = AutoModel.from_pretrained(folder, **options).eval()
        finally:
            logging.enable_progress_bar()
        self.processor = AutoImageProcessor.from_pretrained(folder, **options)
        self.tags = tuple(getattr(self.model.config, "e2", {}).get("tags", ()))

    def preprocess(self, photo: ImageSource) -> Tensor:
        """Preprocesses a photo: (3, H, W)."""
        return self.processor(images=as_photo(photo), return_tensors="pt").pixel_values[0]

    def encode_image(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        return _normalised(self.model.get_image_features(pixel_values=pixels), normalize)

    def encode_regions(self, pixels: Tensor, normalize: bool = False) -> Tensor:
        return _normalised(self.model.get_region_features(pixel_values=pixels), normalize)

    def encode_text(self, tokens: Tensor, normalize: bool = False) -> Tensor:
        return _normalised(self.model.get_text_features(input_ids=tokens), normalize)


def load_transformers(folder: str | Path, **options: Any) -> Encoder:
    """Loads the encoder of a folder that `e2 export --format transformers` wrote.

    Args:
        options: ``device``, ``precision``, ``batch_size``, ``workers`` of :class:`Encoder`.
    """
    record, model = read_export(folder), TransformersModel(Path(folder))
    if "tokenizer" not in record.further:
        raise InputError(f"{folder} was exported by an earlier version of e2; export again")
    tokenizer = load_tokenizer(Path(folder), record.further["tokenizer"])
    info = {**record.source, "path": str(folder), "runtime": "transformers"}
    return Encoder(model, model.preprocess, tokenizer, info, **options)


def _normalised(features: Any, normalize: bool) -> Tensor:
    """Unwraps features: from version 5 on, transformers' own models wrap them."""
    features = features if isinstance(features, torch.Tensor) else features.pooler_output
    return F.normalize(features, dim=-1) if normalize else features
