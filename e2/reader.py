"""The selection reader: all that E2 adds to a pre-trained image tower, in one module.

Selection tokens (k learned vectors per tag entity) run through the backbone's own blocks beside its class token and
patches, and see each other only: what they know of the photo is what they choose. After some layers a fusion block lets them
choose and absorb locations of the photo (``e2.locations``); the class token then reads the fused tokens through a gate
that starts at zero, and in the end the image embedding takes a share, zero at first, of each region embedding. So before
training the image embedding *is* the backbone's, and training opens the way as far as it helps. Where a tower pools something
else than a class token (SigLIP's attention, a mean), the pooled output takes its place: it takes in what gates let through.

Source: E2 (Qi, Zhao, Li, NeurIPS 2024). Tokens kept apart, local features, gates, shares, norms and the heads' start are
ours; ``e2.paper`` is the published layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from e2.activations import Photos
from e2.front import Front
from e2.fusion import FusionBlock
from e2.local_features import LocalFeatures
from e2.locations import Locations, PatchLocations
from e2.selection import gumbel_noise, make_selector
from e2.tower import Tower, one_way_mask

# Gates and shares are single numbers that start at zero and would open only a learning rate's width a step. This factor lets
# them open that many times as fast; without it a short run ends with the way still closed (measured: 9 points of SumR less).
OPENING_SPEED = 10.0


@dataclass
class Reading:
    """Result of one pass over the images."""

    image: Tensor  # (B, D), not normalised
    regions: Tensor  # (B, E, D), not normalised
    selections: dict[int, Tensor]  # layer after which a fusion block sits -> weights (B, S, N)


def default_layers(depth: int) -> tuple[int, ...]:
    """After how many blocks the fusion blocks sit: 2/3 and 11/12 of the depth (8 and 11 of 12, as in the paper)."""
    return tuple(sorted({round(depth * 2 / 3), round(depth * 11 / 12)}))


def token_slices(counts: Mapping[str, int]) -> dict[str, slice]:
    """Entity -> its rows among the S selection tokens."""
    slices, start = {}, 0
    for entity, count in counts.items():
        slices[entity] = slice(start, start + count)
        start += count
    return slices


class SelectionReader(nn.Module):
    """Selection tokens, fusion blocks, gates and region heads over a tower.

    Args:
        tower: the image tower that is read; it stays outside this module's parameters.
        counts: entity -> number of selection tokens, in entity order.
        locations: what they choose among: ``local`` features of the pixels, or the backbone's ``patches``.
        registers: patches that the backbone uses for notes on the whole photo: ``hidden`` from the tokens, or ``read``.
        attention: what they see in the blocks: each other (``apart``), the image too (``one-way``), or all see all (``full``,
            where the image embedding is not the backbone's to begin with).
        gates: where the image takes in the tokens: the class token's ``stream`` between the blocks, which later blocks see, or
            the ``pooled`` output, which leaves the backbone's pass as it is. Towers without class token know the latter only.
        regions: what region embeddings are read from: the entity's ``tokens``, or these and the backbone's pooled output
            (``with-image``), which knows much of a tag that two tokens would take long to find.
        layers: after how many blocks the fusion blocks sit; may be empty.
        selector: name of the selection rule (``e2.selection``).
        temperature: of the selection's softmax.
        rank: width of the fusion blocks' query/key space; W/8, but at least 32, when None.

    Attributes:
        grid: (rows, columns) of the locations; N = rows * columns.
    """

    def __init__(
        self,
        tower: Tower,
        counts: Mapping[str, int],
        *,
        locations: str = "local",
        registers: str = "hidden",
        attention: str = "apart",
        gates: str = "stream",
        regions: str = "tokens",
        layers: Sequence[int] | None = None,
        selector: str = "soft",
        temperature: float = 1.0,
        rank: int | None = None,
    ):
        super().__init__()
        width, entities = tower.width, len(counts)
        layers = default_layers(len(tower.blocks)) if layers is None else tuple(layers)
        rank = rank or max(width // 8, 32)
        self.attention = attention
        self.into_stream = gates == "stream" and tower.pools_class_token
        self.regions_with_image = regions == "with-image"
        self.locations: Locations = (
            LocalFeatures(width, tower.patch_size, tower.grid)
            if locations == "local" and layers
            else PatchLocations(tower, hide_registers=registers == "hidden")
        )
        self.grid = self.locations.grid
        self.slices = token_slices(counts)
        self.layers = layers
        self.tokens = nn.Parameter(torch.randn(sum(counts.values()), width) * width**-0.5)
        channels = self.locations.channels
        count = self.tokens.shape[0]
        self.fusions = nn.ModuleDict(
            {str(layer): FusionBlock(width, channels, rank, count, make_selector(selector, temperature)) for layer in layers}
        )
        self.gates = nn.ParameterDict({str(layer): torch.zeros(entities, width) for layer in layers})
        self.shares = nn.Parameter(torch.zeros(entities))
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in counts])
        self.heads = nn.Parameter(torch.empty(entities, width, tower.output_dim))
        self.start_from(tower)

    @torch.no_grad()
    def start_from(self, tower: Tower) -> None:
        """Region norms and heads start as copies of the backbone's own, so regions live in its space at once."""
        for norm in self.norms:
            norm.load_state_dict(tower.norm.state_dict(), strict=False)  # a tower may have a norm without bias, or none
        self.heads.copy_(tower.proj.expand_as(self.heads))

    def draw_noise(self, batch: int, device: torch.device) -> dict[int, Tensor]:
        """Fresh selection noise for one training pass: layer -> (B, S, N)."""
        shape = (batch, self.tokens.shape[0], self.grid[0] * self.grid[1])
        return {layer: gumbel_noise(shape, device) for layer in self.layers if self.takes_noise(layer)}

    def takes_noise(self, layer: int) -> bool:
        fusion: Any = self.fusions[str(layer)]
        return fusion.selector.takes_noise

    def front(self, tower: Tower) -> Front:
        """The part of the pass that no gradient and no token reaches, and what the rest needs of it."""
        writes = self.layers if self.into_stream else ()
        blocks = 0 if self.attention != "apart" else min([tower.frozen_blocks(), *writes])
        pooled = not writes and blocks == len(tower.blocks) and tower.pool_is_frozen()
        reads = () if self.locations.reads_pixels else (layer for layer in self.layers if layer <= blocks)
        depths = set(reads) if pooled else {*reads, blocks}
        return Front(blocks, tuple(sorted(depths)), pooled, self.locations.reads_pixels)

    def forward(self, tower: Tower, photos: Photos, noise: Mapping[int, Tensor] | None = None) -> Reading:
        """(B, 3, H, W) or activations -> embeddings and selections. Noise is drawn in training unless given, never at
        inference.
        """
        front = tower.begin(photos)
        count = len(front)
        done = len(tower.blocks) if front.pooled is not None else max(front.streams)
        stream: Any = front.streams.get(done)  # (B, R, W), R = prefix + patches; None where nothing needs it
        seen = self.locations(front.pixels)
        if noise is None:
            noise = self.draw_noise(count, front.device) if self.training else {}
        tokens = self.tokens.to(front.dtype).unsqueeze(0)  # (1, S, W): the same for all photos until they choose
        if self.attention != "apart":
            tokens = tokens.expand(count, -1, -1)
        selections: dict[int, Tensor] = {}
        pooled_read: Tensor | float = 0.0
        for depth, block in enumerate(tower.blocks, start=1):
            if depth <= done:
                stream, tokens = front.streams.get(depth), tower.run(block, tokens)
            else:
                stream, tokens = self.run_block(tower, block, stream, tokens)
            if depth in self.layers:
                fusion = self.fusions[str(depth)]
                rows = self.locations.features(seen, stream)  # (B, P + N, C)
                tokens = tokens.expand(count, -1, -1)  # (B, S, W)
                first, hidden = self.locations.prefix, self.locations.hidden(rows)
                drawn = noise[depth][..., : rows.shape[1] - first] if depth in noise else None  # fewer if patches were dropped
                tokens, selections[depth] = fusion(tokens, rows, self.locations.lift, drawn, hidden, first)
                read = self.gated_read(tower, tokens, self.gates[str(depth)])  # (B, W)
                if self.into_stream:
                    stream = torch.cat([stream[:, :1] + read.unsqueeze(1).to(stream.dtype), stream[:, 1:]], dim=1)
                else:
                    pooled_read = pooled_read + read
        pooled = tower.pooled(stream) if front.pooled is None else front.pooled
        regions = self.region_embeddings(tower, tokens.expand(count, -1, -1), pooled)
        image = tower.project(pooled + pooled_read) + (OPENING_SPEED * self.shares).to(regions.dtype) @ regions
        return Reading(image, regions, selections)

    def run_block(self, tower: Tower, block: nn.Module, stream: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R, W), (B, S, W) -> the same after one of the backbone's blocks."""
        if self.attention == "apart":  # a sequence of their own: no mask, so the image's pass is the backbone's to the bit
            return tower.run(block, stream), tower.run(block, tokens)
        readable = stream.shape[1]
        mask = one_way_mask(readable, tokens.shape[1], stream) if self.attention == "one-way" else None
        x = tower.run(block, torch.cat([stream, tokens], dim=1), mask)  # (B, R + S, W)
        return x[:, :readable], x[:, readable:]

    def entity_means(self, tower: Tower, tokens: Tensor) -> Tensor:
        """(B, S, W) -> (B, E, W): each entity's tokens, normed one by one, then summarised."""
        normed = [norm(tokens[:, rows]) for norm, rows in zip(self.norms, self.slices.values(), strict=True)]
        return torch.stack([tower.merge(own) for own in normed], dim=1)

    def gated_read(self, tower: Tower, tokens: Tensor, gate: Tensor) -> Tensor:
        """Adds up what the image takes in of the entities after a fusion block: (B, S, W) -> (B, W)."""
        return (self.entity_means(tower, tokens) * (OPENING_SPEED * gate)).sum(dim=1)

    def region_embeddings(self, tower: Tower, tokens: Tensor, pooled: Tensor) -> Tensor:
        """(B, S, W), the backbone's pooled output (B, W) -> (B, E, D)."""
        means = self.entity_means(tower, tokens)
        if self.regions_with_image:
            means = means + pooled.unsqueeze(1).to(means.dtype)
        return torch.einsum("bew,ewd->bed", means, self.heads.to(means.dtype))
