"""The E2 model: an open_clip model and a reader that picks out, per tag entity, the patches that matter.

It *is* an open_clip model for its callers: same method names, ``visual``, ``logit_scale``, tokenizer and transforms.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn
from torch.nn import functional as F

from e2.activations import Photos
from e2.config import ModelConfig
from e2.defaults import complete_model
from e2.foreign import OpenClip
from e2.front import Front
from e2.locking import fresh_parameters, lock_image_tower, lock_text_tower
from e2.paper import PaperReader
from e2.reader import Reading, SelectionReader
from e2.texts import encode_text
from e2.towers import open_tower


class E2(nn.Module, ModelHubMixin):
    """A CLIP with selection tokens; with ``save_pretrained`` and ``push_to_hub`` of Hugging Face's mixin.

    Args:
        clip: any open_clip model whose image tower is a ViT; it stays as it is, with its own state-dict keys.
        config: entities, token counts, fusion layers and the rest; without entities the model is the plain backbone.

    Attributes:
        tags: the entities, in the order of ``encode_regions``.
        made_from: the backbone's name, and of a checkpoint how it was trained.
        make_tokenizer: gives its tokenizer.
        goes_on: its tokens come from an earlier E2 model, so its image embedding is not the backbone's to begin with.
    """

    visual: OpenClip
    logit_scale: nn.Parameter
    make_tokenizer: Callable[[], Callable]

    def __init__(self, clip: OpenClip, config: ModelConfig):
        super().__init__()
        self._take_over(clip)
        origin = getattr(clip, "origin", None)
        self.config = complete_model(config, pretrained=origin is not None and origin.pretrained)
        self.tags = tuple(config.tags)
        self.reader = self._make_reader() if self.tags else None
        self.made_from: dict[str, Any] = {}
        self.goes_on = False

    def _take_over(self, clip: OpenClip) -> None:
        """Makes the backbone's towers and weights this module's own, under open_clip's names, as a checkpoint has them.

        ``clip`` shares them, and the tables of weights and buffers too, so both see what moves or shards them; it is no
        submodule, which would give each weight a second name.
        """
        self.clip: OpenClip
        object.__setattr__(self, "clip", clip)
        self._parameters, self._buffers = clip._parameters, clip._buffers
        self._non_persistent_buffers_set = clip._non_persistent_buffers_set
        self._modules.update(clip._modules)

    def _make_reader(self) -> PaperReader | SelectionReader:
        config, tower = self.config, open_tower(self.clip.visual)
        counts = config.token_counts()
        layers = config.layers_for(len(tower.blocks))
        if config.reader == "paper":
            return PaperReader(tower, counts, layers=layers, slips=config.slips)
        assert config.locations and config.gates and config.regions  # complete
        return SelectionReader(
            tower,
            counts,
            locations=config.locations,
            registers=config.registers,
            attention=config.attention,
            gates=config.gates,
            regions=config.regions,
            layers=layers,
            selector=config.selector,
            temperature=config.temperature,
            rank=config.rank,
        )

    # --- what E2 adds -------------------------------------------------------------------------------------------

    def new_parameters(self) -> Iterator[nn.Parameter]:
        """Everything that E2 adds to the backbone."""
        return iter(()) if self.reader is None else self.reader.parameters()

    def fresh_parameters(self) -> Iterable[nn.Parameter]:
        """Parameters of the backbone that its pre-trained weights lack, such as the projection between two towers."""
        return fresh_parameters(self.clip).values()

    def front(self) -> Front:
        """The frozen part of the image tower that runs once per photo, and what the rest of the model needs of it."""
        tower = open_tower(self.clip.visual)
        if self.reader is not None:
            return self.reader.front(tower)
        blocks, pooled = tower.frozen_blocks(), tower.pool_is_frozen()
        return Front(blocks, () if pooled else (blocks,), pooled)

    def read(self, images: Photos, noise: Mapping[int, Tensor] | None = None) -> Reading:
        """One pass: image embedding (B, D), region embeddings (B, E, D), neither normalised, and selections.

        ``images`` are pixels (B, 3, H, W), or activations of this model's :meth:`front`. ``noise`` maps a fusion layer to
        Gumbel noise (B, S, N); by default it is drawn in training only.
        """
        images = images.to(self.logit_scale.dtype) if isinstance(images, Tensor) else images.to(self._stream_dtype())
        if self.reader is None:
            pixels = isinstance(images, Tensor)
            image = self.clip.encode_image(images) if pixels else open_tower(self.clip.visual).finish(images)
            return Reading(image, image.new_zeros(len(image), 0, image.shape[-1]), {})
        return self.reader(open_tower(self.clip.visual), images, noise)

    def _stream_dtype(self) -> torch.dtype:
        """Type of the residual stream's numbers: autocast's inside autocast."""
        kind = self.logit_scale.device.type
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.logit_scale.dtype

    def encode_regions(self, images: Photos, normalize: bool = False) -> Tensor:
        """(B, 3, H, W), or activations as for :meth:`read` -> (B, E, D), entity order = ``tags``."""
        regions = self.read(images).regions
        return F.normalize(regions, dim=-1) if normalize else regions

    def selections(self, images: Tensor) -> dict[str, dict[int, Tensor]]:
        """Locations chosen by each token: entity -> {fusion layer: weights (B, k, rows, columns)}, summing to 1."""
        if self.reader is None:
            return {}
        chosen = self.read(images).selections
        return {
            entity: {layer: weights[:, rows].unflatten(-1, self.reader.grid) for layer, weights in chosen.items()}
            for entity, rows in self.reader.slices.items()
        }

    # --- what callers of open_clip models expect ----------------------------------------------------------------

    def encode_image(self, image: Photos, normalize: bool = False) -> Tensor:
        """(B, 3, H, W), or activations as for :meth:`read` -> (B, D)."""
        features = self.read(image).image
        return F.normalize(features, dim=-1) if normalize else features

    def encode_text(self, text: Tensor, normalize: bool = False) -> Tensor:
        """Token ids (B, L) -> (B, D); L may be shorter than the context length where the tower is causal."""
        features = encode_text(self.clip, text)
        return F.normalize(features, dim=-1) if normalize else features

    def get_logits(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled similarities, (B, T) and its transpose."""
        logits = self.logit_scale.exp() * self.encode_image(image, True) @ self.encode_text(text, True).T
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        return logits, logits.T

    def forward(self, image: Tensor | None = None, text: Tensor | None = None) -> Any:
        """As ``open_clip.CLIP.forward``: normalised features and the exponentiated scale, as a dict where asked for."""
        image_features = None if image is None else self.encode_image(image, normalize=True)
        text_features = None if text is None else self.encode_text(text, normalize=True)
        out = {"image_features": image_features, "text_features": text_features, "logit_scale": self.logit_scale.exp()}
        if self.logit_bias is not None:
            out["logit_bias"] = self.logit_bias
        return out if self.clip.output_dict else tuple(out.values())

    @property
    def logit_bias(self) -> nn.Parameter | None:
        return self.clip.logit_bias

    @property
    def context_length(self) -> int:
        return self.clip.context_length

    def train(self, mode: bool = True) -> "E2":
        """Sets the mode; frozen layers stay as at inference, so that nothing in them is drawn at random."""
        super().train(mode)
        rest_frozen(self)
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.clip.set_grad_checkpointing(enable)

    def lock_image_tower(self, unlocked_groups: int = 0, freeze_bn_stats: bool = False) -> None:
        """Freezes the backbone's image tower but its last groups; the reader stays free."""
        lock_image_tower(self.clip, unlocked_groups, freeze_bn_stats)

    def lock_text_tower(self, unlocked_layers: int = 0, freeze_layer_norm: bool = True) -> None:
        lock_text_tower(self.clip, unlocked_layers, freeze_layer_norm)

    # --- files and the Hugging Face hub -------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | Path, *, local_files_only: bool = True, **options: Any) -> "E2":  # type: ignore[override]
        """A checkpoint's model, ready to embed.

        Args:
            name: a checkpoint folder or a weights file in one, or ``ORG/NAME`` on the hub.
            local_files_only: False downloads what is not in the cache.
            options: of :func:`e2.load`.

        Raises:
            InputError: nothing there, or damaged files.
        """
        here = Path(name).exists() or str(name).startswith("hf-hub:")
        model: E2 = _checkpoint().load(name if here else f"hf-hub:{name}", local_files_only=local_files_only, **options)[0]
        return model

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Writes a checkpoint folder; ``options`` of ``huggingface_hub.ModelHubMixin.save_pretrained``.

        Raises:
            InputError: a model whose backbone has no name, or a folder that holds another program's ``config.json``.
        """
        _checkpoint().check_saving(self, Path(save_directory))  # before the mixin removes a config.json
        return super().save_pretrained(save_directory, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        _checkpoint().save_model(self, save_directory)


def rest_frozen(module: nn.Module) -> None:
    """Puts all parts that learn nothing into evaluation mode."""
    for part in module.children():
        learns = [p.requires_grad for p in part.parameters()]
        if learns and not any(learns):
            part.eval()
        else:
            rest_frozen(part)


def _checkpoint() -> Any:
    """``e2.checkpoint``, imported late, as it imports this module, and by name, as exports bring only what is imported."""
    return importlib.import_module("e2.checkpoint")
