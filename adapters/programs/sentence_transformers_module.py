"""Makes any encoder a model of sentence-transformers (version 5.4 or later).

>>> model = sentence_transformer("runs/mine")  # doctest: +SKIP
>>> model.encode(["a red dress", "a grey tee"]).shape  # photos in a call of their own  # doctest: +SKIP
(2, 512)
"""

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from e2.adapters.encoder import load_encoder
from e2.data.images import as_photo
from e2.errors import InputError
from e2.extras import extra

with extra("programs", "a sentence-transformers module"):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import InputModule


class EncoderModule(InputModule):
    """Encodes texts and photos as ``sentence_embedding`` (B, D) of unit length; trainable like any other module.

    Args:
        encoder: as for :func:`e2.adapters.encoder.load_encoder`; a saved model keeps only the name.
    """

    config_keys = ["encoder"]
    tokenizer: Any  # open_clip's tokenizer: texts -> (B, L); the base class only knows those of transformers

    def __init__(self, encoder: str):
        super().__init__()
        self.encoder = str(encoder)
        loaded = load_encoder(encoder, device="cpu")  # sentence-transformers moves it
        self.model, self.transform, self.tokenizer = loaded.model, loaded.preprocess, loaded.tokenizer
        self.max_seq_length = loaded.tokenizer.context_length

    @property
    def modalities(self) -> list:
        return ["text", "image"]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Tensor]:
        """Prepares a batch of texts or a batch of photos, as sentence-transformers sorts them."""
        if all(isinstance(item, Image.Image) for item in inputs):
            return {"pixel_values": torch.stack([self.transform(as_photo(photo)) for photo in inputs])}
        if not all(isinstance(item, str) for item in inputs):
            raise InputError("give texts or PIL images; this encoder cannot read other inputs")
        return {"input_ids": self.tokenizer([(prompt or "") + text for text in inputs])}

    def forward(self, features: dict[str, Tensor], **_: Any) -> dict[str, Tensor]:
        if "pixel_values" in features:
            embedding = self.model.encode_image(features["pixel_values"])
        else:
            embedding = self.model.encode_text(features["input_ids"])
        return {**features, "sentence_embedding": F.normalize(embedding, dim=-1)}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Writes the encoder's name; its weights stay where they are."""
        self.save_config(output_path)


def sentence_transformer(encoder: str, **options: Any) -> SentenceTransformer:
    """Makes a ``SentenceTransformer`` of an encoder.

    Args:
        encoder: as for :func:`e2.adapters.encoder.load_encoder`.
        options: of ``SentenceTransformer``, e.g. ``device``.

    Raises:
        InputError: no such encoder.
    """
    return SentenceTransformer(modules=[EncoderModule(encoder)], **options)
