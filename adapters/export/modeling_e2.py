# Copyright 2026 The E2 authors.
#
# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except in compliance with the
# License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific
# language governing permissions and limitations under the License.
"""E2 for transformers' ``AutoModel``; called like ``CLIPModel``, with region embeddings in addition.

In an exported folder this file lies beside copies of the few files of E2 that it needs; of other packages it needs
``open_clip_torch``, which builds the backbone, and ``pydantic``, which checks settings.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from e2.config import ModelConfig
from e2.model import E2


class E2Config(PretrainedConfig):
    """Configuration of an `E2Model`.

    Args:
        backbone: open_clip's model configuration.
        e2: fields of E2's ``ModelConfig``.
        text_tower: configuration of a text tower of transformers; None: open_clip's own.
    """

    model_type = "e2"

    def __init__(
        self,
        backbone: dict[str, Any] | None = None,
        e2: dict[str, Any] | None = None,
        text_tower: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        self.backbone, self.e2, self.text_tower = backbone or {}, e2 or {}, text_tower
        super().__init__(**kwargs)


@dataclass
class E2Output(ModelOutput):
    """Output like ``CLIPOutput``; all embeddings are of unit length."""

    logits_per_image: Tensor | None = None  # (B, T)
    logits_per_text: Tensor | None = None  # (T, B)
    text_embeds: Tensor | None = None  # (T, D)
    image_embeds: Tensor | None = None  # (B, D)
    region_embeds: Tensor | None = None  # (B, E, D), in the order of ``config.e2["tags"]``


class E2Model(PreTrainedModel):
    """An E2 or any open_clip model."""

    config_class = E2Config
    main_input_name = "pixel_values"

    def __init__(self, config: E2Config):
        super().__init__(config)
        with torch.device("cpu"):  # transformers would build it without memory, which not all of timm supports
            self.model = E2(build_backbone(config.backbone, config.text_tower), ModelConfig(**config.e2))
        for module in self.model.modules():  # load masks from the file too: transformers loses the rest
            module._non_persistent_buffers_set = set()
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Does nothing: the backbone has initialised itself."""

    def get_image_features(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """Encodes images: (B, 3, H, W) -> (B, D)."""
        return self.model.encode_image(pixel_values)

    def get_region_features(self, pixel_values: Tensor, **_: Any) -> Tensor:
        """Encodes regions: (B, 3, H, W) -> (B, E, D)."""
        return self.model.encode_regions(pixel_values)

    def get_text_features(self, input_ids: Tensor, **_: Any) -> Tensor:
        """Encodes texts: (T, L) -> (T, D). Padding needs no mask: the tower pools at the end of the text."""
        return self.model.encode_text(input_ids)

    def forward(self, input_ids: Tensor | None = None, pixel_values: Tensor | None = None, **_: Any) -> E2Output:
        """Computes embeddings of the given inputs, and scaled similarities if both are given."""
        output = E2Output()
        if input_ids is not None:
            output.text_embeds = F.normalize(self.get_text_features(input_ids), dim=-1)
        if pixel_values is not None:
            reading = self.model.read(pixel_values)
            output.image_embeds = F.normalize(reading.image, dim=-1)
            output.region_embeds = F.normalize(reading.regions, dim=-1)
        if output.image_embeds is not None and output.text_embeds is not None:
            logits = self.model.logit_scale.exp() * output.image_embeds @ output.text_embeds.T
            if self.model.logit_bias is not None:
                logits = logits + self.model.logit_bias
            output.logits_per_image, output.logits_per_text = logits, logits.T
        return output


def build_backbone(config: dict[str, Any], text_tower: dict[str, Any] | None = None) -> nn.Module:
    """Builds the open_clip model of a configuration, with random weights."""
    fields = {name: value for name, value in config.items() if name != "custom_text"}
    if text_tower is None:
        return (open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP)(**fields)
    with tempfile.TemporaryDirectory() as folder:  # open_clip reads a text tower's configuration from a folder
        (Path(folder) / "config.json").write_text(json.dumps(text_tower))
        return open_clip.CustomTextCLIP(**{**fields, "text_cfg": {**fields["text_cfg"], "hf_model_name": folder}})
