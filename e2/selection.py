"""Choice of a selection token among the patches: logits (B, S, N) -> weights (B, S, N) that sum to 1 over the patches.

A logit of minus infinity hides a patch from the token.
Tokens do not compete: the softmax runs over patches, so several tokens may choose the same one (E2, NeurIPS 2024; in
GroupViT it runs over the tokens).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.errors import require_choice


def gumbel_noise(shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Gumbel(0, 1) samples: -log(-log u)."""
    exponential = torch.empty(shape, device=device).exponential_(generator=generator)  # -log u without log 0
    return -exponential.clamp(min=torch.finfo(exponential.dtype).tiny).log()


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Forward value of ``hard``, gradient of ``soft``."""
    return hard + (soft - soft.detach())  # the bracket is exactly 0, so the value is exactly ``hard``


class Selector(nn.Module):
    """Rule by which tokens choose; noise, if it takes any, is drawn in training."""

    takes_noise = False

    def __init__(self, temperature: float = 1.0):
        super().__init__()
        self.temperature = temperature


class HardSelection(Selector):
    """One patch per token: straight-through Gumbel-softmax in training, plain argmax otherwise (Jang et al., 2017)."""

    takes_noise = True

    def forward(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        """``noise`` is added to the logits; ``None`` means the exact argmax."""
        if noise is not None:
            logits = logits + noise
        soft = (logits / self.temperature).softmax(dim=-1)
        hard = F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).to(soft.dtype)
        return straight_through(hard, soft)


class SoftSelection(Selector):
    """A weighted mean of all patches: deterministic and differentiable, the natural control for hard selection."""

    def forward(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        return (logits / self.temperature).softmax(dim=-1)


class TopKSelection(Selector):
    """The mean of the k best patches per token; Gumbel noise in training makes it a sample without replacement."""

    takes_noise = True

    def __init__(self, temperature: float = 1.0, k: int = 4):
        super().__init__(temperature)
        self.k = k

    def forward(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is not None:
            logits = logits + noise
        soft = (logits / self.temperature).softmax(dim=-1)
        best = logits.topk(min(self.k, logits.shape[-1]), dim=-1).indices  # (B, S, k)
        hard = torch.zeros_like(soft).scatter(-1, best, 1.0 / best.shape[-1])
        return straight_through(hard, soft)


class UniformSelection(Selector):
    """The mean of all locations: the control without any choice."""

    def forward(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        visible = (logits > -torch.inf).to(logits.dtype)
        return visible / visible.sum(dim=-1, keepdim=True)


class RandomSelection(UniformSelection):
    """A random location per token in training, the mean of all otherwise: the control that cannot learn what to choose."""

    takes_noise = True

    def forward(self, logits: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            return super().forward(logits)
        drawn = noise.masked_fill(logits == -torch.inf, -torch.inf).argmax(dim=-1)
        return F.one_hot(drawn, logits.shape[-1]).to(logits.dtype)


SELECTORS: dict[str, type[Selector]] = {
    "hard": HardSelection,
    "soft": SoftSelection,
    "top-k": TopKSelection,
    "random": RandomSelection,
    "uniform": UniformSelection,
}


def make_selector(name: str, temperature: float) -> Selector:
    """The selector of that name."""
    require_choice("selector", name, SELECTORS)
    return SELECTORS[name](temperature=temperature)
