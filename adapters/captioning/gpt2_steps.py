"""Runs GPT-2 one position at a time, on the weights of transformers' own model, with a cache for many beams.

An item's keys and values share one buffer: first those of its context (prefix and prompt, shared by all beams), then one slot
per beam and step. When beams change parents no memory moves: a mask says which slots are a hypothesis's past. So each step is
one attention call per layer for all beams of an item.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GPT2Model


class GPT2Steps:
    """Decoding state of N items with B hypotheses each.

    Args:
        model: in eval mode.
        context: (N, C, W) input embeddings, padded on the left.
        mask: (N, C) True where the context is real.
        beams: B.
        steps: most tokens to follow.

    Attributes:
        logits: (N, V) after the context.
    """

    def __init__(self, model: GPT2Model, context: Tensor, mask: Tensor, beams: int, steps: int):
        self.gpt2, self.activation = model, activation_of(model)
        self.all_seen = beams == 1 and bool(mask.all())  # then no mask is needed
        self.heads = model.config.n_head
        items, self.context_length, width = context.shape
        slots = self.context_length + beams * steps
        shape = (2, items, self.heads, slots, width // self.heads)
        self.cache = [context.new_empty(shape) for _ in self.gpt2.h]  # one of keys and values per layer
        self.beams, self.step_count = beams, 0
        self.positions = mask.sum(dim=1)  # (N,) the next position of each item
        self.visible = mask[:, None, :].expand(-1, beams, -1)  # (N, B, slots so far)
        self.logits = self._read_context(context, mask)

    def advance(self, tokens: Tensor) -> Tensor:
        """Appends one token to each hypothesis: (N, B) -> (N, B, V) logits."""
        # A hypothesis sees its own new slot, not those that its siblings write in the same step.
        own = torch.eye(self.beams, dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)
        self.visible = torch.cat([self.visible, own], dim=2)
        x = self.gpt2.wte(tokens) + self.gpt2.wpe(self.positions)[:, None]  # (N, B, W)
        start = self.context_length + self.step_count * self.beams
        x = self._layers(x, slice(start, start + self.beams), self._mask())
        self.step_count += 1
        self.positions = self.positions + 1
        return self._logits(x)

    def follow(self, parents: Tensor) -> None:
        """Makes hypothesis b of each item continue hypothesis ``parents[n, b]``: (N, B)."""
        index = parents[:, :, None].expand(-1, -1, self.visible.shape[2])
        self.visible = self.visible.gather(1, index)

    def keep(self, items: Tensor) -> None:
        """Drops all items but these: (K,) indices."""
        used = self.context_length + self.step_count * self.beams
        smaller = []
        for layer in self.cache:
            part = layer.new_empty((2, len(items), *layer.shape[2:]))
            part[:, :, :, :used] = layer[:, items, :, :used]
            smaller.append(part)
        self.cache = smaller
        self.positions, self.visible = self.positions[items], self.visible[items]

    def _mask(self) -> Tensor | None:
        return None if self.all_seen else additive(self.visible, self.gpt2.wte.weight.dtype)[:, None]

    def _read_context(self, context: Tensor, mask: Tensor) -> Tensor:
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        causal = torch.ones(self.context_length, self.context_length, dtype=torch.bool, device=mask.device).tril()
        own = torch.eye(self.context_length, dtype=torch.bool, device=mask.device)  # or padding would see nothing: NaN
        seen = (causal & mask[:, None, :] | own)[:, None]  # (N, 1, C, C)
        x = self._layers(context + self.gpt2.wpe(positions), slice(0, self.context_length), additive(seen, context.dtype))
        return self._logits(x[:, -1])

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.gpt2.ln_f(x), self.gpt2.wte.weight)

    def _layers(self, x: Tensor, slots: slice, seen: Tensor | None) -> Tensor:
        """Runs all layers, (N, T, W) -> (N, T, W); writes T slots at ``slots`` and attends to the ``seen`` slots up to them.

        At 64 rows a step is many small operations, so these are few: one write for keys and values, sums in place.
        """
        block: Any  # a GPT2Block: its parts are known to transformers, not to nn.Module
        for block, cache in zip(self.gpt2.h, self.cache, strict=True):
            states = block.attn.c_attn(block.ln_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            cache[:, :, :, slots] = states[1:]  # (2, N, heads, T, d)
            keys, values = cache[:, :, :, : slots.stop]
            read = F.scaled_dot_product_attention(states[0], keys, values, attn_mask=seen)
            x = block.attn.c_proj(read.transpose(1, 2).flatten(2)).add_(x)
            x = block.mlp.c_proj(self.activation(block.mlp.c_fc(block.ln_2(x)))).add_(x)
        return x


def activation_of(model: GPT2Model) -> Callable[[Tensor], Tensor]:
    """The model's activation; GPT-2's own, eight operations in transformers, as one equivalent kernel."""
    if model.config.activation_function in ("gelu_new", "gelu_pytorch_tanh"):
        return partial(F.gelu, approximate="tanh")
    block: Any = model.h[0]
    return block.mlp.act


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Converts a mask to the kernel's additive form once, rather than in each layer."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
