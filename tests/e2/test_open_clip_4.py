"""open_clip from version 4 on: an attention of its own under the same names, and no choice of what comes first in a batch."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

import e2
from e2 import attention
from e2.adapters.export.clip_model import clip_config, clip_state, maps_onto_clip_model
from e2.attention import chunked_attention
from e2.packing import encode_packed
from tests.conftest import TAGS


class PackedAttention(nn.Module):
    """Stands in for it: packed weights, PyTorch's fused attention with the scale spelled out."""

    def __init__(self, original: nn.MultiheadAttention):
        super().__init__()
        self.num_heads = original.num_heads
        self.in_proj_weight, self.in_proj_bias = original.in_proj_weight, original.in_proj_bias
        self.out_proj = nn.Linear(original.embed_dim, original.embed_dim)
        self.out_proj.load_state_dict(original.out_proj.state_dict())

    def forward(self, x: Tensor, *_: Tensor, attn_mask: Tensor | None = None, **__: bool) -> tuple[Tensor, None]:
        packed = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4)  # (B, H, L, D) each
        if attn_mask is not None and attn_mask.ndim == 3:
            attn_mask = attn_mask.unflatten(0, (-1, self.num_heads))
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, scale=query.shape[-1] ** -0.5)
        return self.out_proj(seen.transpose(1, 2).flatten(2)), None


@pytest.fixture
def both(model):
    """The model as it is, and as version 4 builds it."""
    other = copy.deepcopy(model)
    for transformer in (other.visual.transformer, other.clip.transformer):
        for block in transformer.resblocks:
            block.attn = PackedAttention(block.attn)
    del other.visual.transformer.batch_first  # its blocks are called one by one here
    return model, other


@torch.no_grad()
def test_the_towers_read_it(both):
    images, tokens = torch.randn(2, 3, 32, 32), e2.get_tokenizer("e2-nano")(["a red tee", "a long grey coat"])
    for ask in (
        lambda model: model.encode_image(images),
        lambda model: model.encode_regions(images),
        lambda model: encode_packed(model.clip, tokens),
    ):
        assert_close(ask(both[1]), ask(both[0]), atol=1e-5, rtol=1e-5)
    assert both[1].tags == TAGS


def test_chunks_are_used_for_it(both, monkeypatch):
    asked, attend = [], attention.attend

    def counting(*parts):
        asked.append(len(parts))
        return attend(*parts)

    monkeypatch.setattr(attention, "attend", counting)
    with torch.no_grad(), chunked_attention():
        both[1].encode_image(torch.randn(2, 3, 32, 32))
    assert asked


def test_it_becomes_transformers_own_clip(both):
    first, second = (model.clip for model in both)
    assert maps_onto_clip_model(first) and maps_onto_clip_model(second)
    assert clip_config(first) == clip_config(second) and clip_state(first).keys() == clip_state(second).keys()
    second.visual.transformer.resblocks[0].attn.logit_scale = nn.Parameter(torch.ones(2, 1, 1))  # cosines, scaled
    assert not maps_onto_clip_model(second)
