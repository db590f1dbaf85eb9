"""Maps an embedding to the prefix of a language model: DeCap's linear map, CapDec's MLP and transformer.

Sources: DeCap (arXiv 2303.03032), ClipCap (arXiv 2111.09734) whose mappers CapDec uses. Parameter names are the originals',
so that their weights load.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.errors import InputError


def make_mapper(kind: str, features: int, width: int, length: int, *, layers: int = 8, heads: int = 8) -> nn.Module:
    """Makes a module (B, features) -> (B, length, width).

    Args:
        kind: ``linear``, ``mlp`` or ``transformer``.
        layers, heads: of the transformer.
    """
    if kind == "transformer":
        if width % heads:
            raise InputError(f"the mapper's {heads} heads do not divide the language model's width {width}")
        return TransformerMapper(features, width, length, length, layers, heads)
    hidden = width * length // 2
    return MLPMapper((features, width * length) if kind == "linear" else (features, hidden, width * length), length)


class MLPMapper(nn.Module):
    """Linear layers with Tanh between; two sizes make one linear map (DeCap's)."""

    def __init__(self, sizes: tuple[int, ...], length: int):
        super().__init__()
        layers: list[nn.Module] = []
        for size_in, size_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(size_in, size_out), nn.Tanh()]
        self.model = nn.Sequential(*layers[:-1])
        self.length = length

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).unflatten(-1, (self.length, -1))


class TransformerMapper(nn.Module):
    """Runs the embedding, as ``clip_length`` tokens, with ``length`` learned tokens, whose outputs are the prefix."""

    def __init__(self, features: int, width: int, length: int, clip_length: int, layers: int, heads: int = 8):
        super().__init__()
        self.clip_length = clip_length
        self.linear = nn.Linear(features, clip_length * width)
        self.prefix_const = nn.Parameter(torch.randn(length, width))
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(_Layer(width, heads) for _ in range(layers))})

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.linear(x).unflatten(-1, (self.clip_length, -1))
        tokens = torch.cat([tokens, self.prefix_const.expand(len(x), -1, -1)], dim=1)
        for layer in self.transformer["layers"].children():
            tokens = layer(tokens)
        return tokens[:, self.clip_length :]


class _Layer(nn.Module):
    """Pre-norm attention and a ReLU MLP of ratio 2; queries, keys and values have no bias."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = _Attention(width, heads), _MLP(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_queries = nn.Linear(width, width, bias=False)
        self.to_keys_values = nn.Linear(width, 2 * width, bias=False)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        queries = self.to_queries(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = self.to_keys_values(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.project(F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))


class _MLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x)))
