"""Maps over an image tower's patches that need no selection tokens, as baselines for these.

- ``attention``: the class token's attention in the last block, mean over heads (Caron et al., DINO, 2021).
- ``rollout``: attention through all blocks, residuals weighted by half (Abnar and Zuidema, ACL 2020).
- ``gradient``: absolute gradient of the photo-text cosine per pixel, summed in each patch (Simonyan et al., 2014).
- ``grad-cam``: the same gradient on the last block's input patches, times these (Selvaraju et al., ICCV 2017).

They work for every ViT that ``e2.towers`` supports and for E2 models. If no class token is pooled, the pooling replaces it:
SigLIP's attention pool, or an even mean over patches. In an E2 model they follow class token and patches only, and leave out
what the selection tokens add to the image embedding.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from e2.adapters.encoder import Encoder
from e2.tower import Tower

ATTENTION = ("attention", "rollout")
GRADIENT = ("gradient", "grad-cam")


@torch.no_grad()
def attention_maps(encoder: Encoder, pixels: Tensor) -> dict[str, Tensor]:
    """Computes the maps of `ATTENTION`: (B, 3, H, W) -> (B, rows, columns) each, summing to 1.

    Raises:
        InputError: the image tower is not a ViT that E2 can read.
    """
    tower = encoder.image_tower
    recorder = _Recorder(_length(tower))
    with ExitStack() as hooks, recorder:
        for block in tower.blocks:
            for register, inside in ((block.register_forward_pre_hook, True), (block.register_forward_hook, False)):
                hooks.callback(register(lambda *_, inside=inside: setattr(recorder, "inside", inside)).remove)
        with encoder.autocast(pytorch_attention=True):
            encoder.encode_pixels(pixels)
    weights = [_stream(encoder, tower, own, (-2, -1)) for own in recorder.blocks]  # (B, R, R) each, R = prefix + N
    pooled = recorder.pool  # (B, R)
    if pooled is None:
        pooled = weights[-1].new_zeros(weights[-1].shape[:2])
        if tower.pools_class_token:
            pooled[:, 0] = 1
        else:
            pooled[:, tower.num_prefix_tokens :] = 1 / tower.num_patches
    last = pooled if recorder.pool is not None else _read_back(pooled, weights[-1])
    rolled = pooled
    for own in reversed(weights):
        mixed = own + torch.eye(own.shape[-1], device=own.device)
        rolled = _read_back(rolled, mixed / mixed.sum(dim=-1, keepdim=True))
    return {"attention": _patch_shares(tower, last), "rollout": _patch_shares(tower, rolled)}


def _read_back(rows: Tensor, weights: Tensor) -> Tensor:
    """Propagates shares of a block's output (B, R) to its input, by its attention (B, R, R)."""
    return (rows.unsqueeze(1) @ weights).squeeze(1)


def gradient_maps(encoder: Encoder, pixels: Tensor, texts: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Computes the maps of `GRADIENT` for several texts per photo.

    Args:
        encoder: any with such a tower.
        pixels: (B, 3, H, W).
        texts: entity -> (B, D), the normalised embedding of each photo's own tag.

    Returns:
        map -> entity -> (B, rows, columns), summing to 1.

    Raises:
        InputError: the image tower is not a ViT that E2 can read.
    """
    tower, entering = encoder.image_tower, []
    pixels = pixels.detach().requires_grad_()
    with torch.enable_grad(), ExitStack() as hooks:
        for block in tower.blocks:
            handle = block.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
            hooks.callback(handle.remove)
        with encoder.autocast(pytorch_attention=True):
            image = F.normalize(encoder.encode_pixels(pixels).float(), dim=-1)
        last = [x for x in entering if x.shape[1] >= _length(tower)][-1]  # the published layout drops its patches early
        found: dict[str, dict[str, Tensor]] = {name: {} for name in GRADIENT}
        for entity, text in texts.items():
            cosines = (image * text).sum(dim=-1)
            slopes = torch.autograd.grad(cosines.sum(), (pixels, last), retain_graph=True)
            found["gradient"][entity] = _shares(F.adaptive_avg_pool2d(slopes[0].float().abs().sum(dim=1), tower.grid))
            found["grad-cam"][entity] = _grad_cam(encoder, tower, last.detach(), slopes[1])
    return found


def _grad_cam(encoder: Encoder, tower: Tower, values: Tensor, slopes: Tensor) -> Tensor:
    """Weights channels by their mean gradient over the patches, sums them and drops negative evidence."""
    own = [_stream(encoder, tower, x.float(), (-2,))[:, tower.num_prefix_tokens :] for x in (values, slopes)]  # (B, N, W)
    weights = own[1].mean(dim=1, keepdim=True)
    return _shares((own[0] * weights).sum(dim=-1).relu().unflatten(-1, tower.grid))


def _patch_shares(tower: Tower, rows: Tensor) -> Tensor:
    return _shares(rows[:, tower.num_prefix_tokens :].unflatten(-1, tower.grid))


def _shares(found: Tensor) -> Tensor:
    """Scales to sum 1; an empty map (no positive evidence) becomes uniform."""
    total = found.sum(dim=(-2, -1), keepdim=True)
    return torch.where(total > 0, found / total.clamp(min=torch.finfo(found.dtype).tiny), 1 / found[0].numel())


def _length(tower: Tower) -> int:
    return tower.num_prefix_tokens + tower.num_patches


def _stream(encoder: Encoder, tower: Tower, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Class token and patches of a sequence, without selection tokens (at the end; in the published layout, in front)."""
    for dim in dims:
        x = x.narrow(dim, x.shape[dim] - _length(tower) if encoder.tokens_first else 0, _length(tower))
    return x


class _Recorder(TorchFunctionMode):
    """Records attention weights, mean over heads, wherever a tower computes them.

    All attention of open_clip and timm goes through one of two functions, which are wrapped; hooks tell which block is
    running.

    Attributes:
        blocks: (B, L, L) of each block that still has all patches, in order.
        pool: (B, R) of an attention pool over class token and patches, if there is one.
    """

    def __init__(self, length: int):
        super().__init__()
        self.length, self.inside = length, False
        self.blocks: list[Tensor] = []
        self.pool: Tensor | None = None

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is F.multi_head_attention_forward:
            out, weights = func(*args, **{**kwargs, "need_weights": True, "average_attn_weights": True})
            self._record(weights)
            return out, None
        if func is F.scaled_dot_product_attention:
            self._record(_weights(*args, **kwargs))
        return func(*args, **kwargs)

    def _record(self, weights: Tensor) -> None:
        """Records (B, queries, keys)."""
        if self.inside and weights.shape[-1] >= self.length:
            self.blocks.append(weights.float())
        elif weights.shape[-1] == self.length and weights.shape[-2] < self.length:
            self.pool = weights.float().mean(dim=1)


def _weights(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **_: Any) -> Tensor:
    """Computes the weights of ``F.scaled_dot_product_attention``, mean over heads: (B, queries, keys)."""
    logits = (query @ key.mT).float() * query.shape[-1] ** -0.5
    return (logits if attn_mask is None else logits + attn_mask).softmax(dim=-1).mean(dim=1)
