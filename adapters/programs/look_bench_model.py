"""Makes any encoder a model of LookBench (look-bench 0.4): importing this file registers it as ``e2``.

``python -m e2.adapters.programs.look_bench_model --config look.yaml`` is ``look-bench`` with that model known. In its
configuration::

    pipeline: {name: evaluation, model: e2, dataset: fashion200k}
    e2: {model_name: runs/mine, input_size: 224, embedding_dim: 512, device: auto}

where ``model_name`` is any encoder's name. LookBench's own wrapper makes photos square and 8-bit before a model's processor
sees them; here each photo goes through the encoder's own transform once, and ``input_size`` is not used.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor, nn

from e2.adapters.encoder import Encoder, load_encoder
from e2.data.images import as_photo
from e2.extras import extra

with extra("programs", "LookBench's wrapper"):
    from look_bench.models import BaseModel, register_model


class LookBenchEncoder(nn.Module):
    """Encodes pixels (B, 3, H, W), one photo or its path: (B, D) of unit length."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.model, self.preprocess, self.device = encoder.model, encoder.preprocess, encoder.device

    @torch.inference_mode()
    def forward(self, image: Tensor | Image.Image | str) -> Tensor:
        pixels = image if isinstance(image, Tensor) else self.preprocess(as_photo(image)).unsqueeze(0)
        return nn.functional.normalize(self.model.encode_image(pixels.to(self.device)), dim=-1)


@register_model("e2", metadata={"description": "E2 or any CLIP by its encoder name", "framework": "PyTorch"})
class LookBenchModel(BaseModel):
    """Model class that keeps the transform of the last loaded model, as LookBench asks for it later."""

    preprocess: ClassVar[Callable[[Image.Image], Tensor]]

    @classmethod
    def load_model(cls, model_name: str, model_path: str | None = None) -> tuple[nn.Module, BaseModel]:
        """Loads a model; ``model_path``, if given, replaces ``model_name`` as the encoder's name."""
        encoder = load_encoder(model_path or model_name)
        cls.preprocess = staticmethod(encoder.preprocess)
        return LookBenchEncoder(encoder), cls()

    @classmethod
    def get_transform(cls, input_size: int, is_train: bool = False) -> Callable[[Image.Image], Any]:
        return cls.preprocess


if __name__ == "__main__":
    with extra("programs", "LookBench"):
        from look_bench.main import main

    main()
