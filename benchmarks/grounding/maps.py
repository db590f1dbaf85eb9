"""Collects the maps to evaluate: an encoder's selection tokens, its tower's own maps, and two uninformed ones."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import trained_prompt
from e2.adapters.unit_vectors import mean_of_each
from e2.benchmarks.grounding.attention_maps import attention_maps, gradient_maps
from e2.data.product import tag_text, values_of
from e2.progress import with_progress

TOKENS = "tokens"  # over all fusion blocks; one block's are called tokens@LAYER
WITHOUT_TOKENS = "gradient"  # substitute for encoders without tokens: the other kind of map that uses the tag
Maps = dict[str, dict[str, np.ndarray]]  # map -> entity -> (N, rows, columns) float32


def maps_of(scores: Iterable[str]) -> list[str]:
    """Maps among ``MEASURE/MAP/ENTITY`` scores."""
    return list(dict.fromkeys(name.split("/", 2)[1] for name in scores if name.count("/") >= 2))


def own_map(scores: Iterable[str]) -> str:
    """Map that represents the scored encoder: its tokens' if it has some."""
    return TOKENS if TOKENS in maps_of(scores) else WITHOUT_TOKENS


def tag_texts(encoder: Encoder, tags: Sequence[Mapping[str, str]], entities: Sequence[str]) -> dict[str, np.ndarray]:
    """Embeds each product's own tag, worded as in training: entity -> (N, D), of several values their mean; zeros without."""
    prompt = trained_prompt(encoder)
    owned = {entity: [values_of(own[entity]) if entity in own else () for own in tags] for entity in entities}
    wanted = dict.fromkeys((entity, value) for entity, found in owned.items() for values in found for value in values)
    vectors = encoder.encode_texts([tag_text(prompt, *tag) for tag in wanted], progress=False)
    rows = {text: row for row, text in enumerate(wanted)}
    return {
        entity: mean_of_each(vectors, [[rows[entity, value] for value in values] for values in found])
        for entity, found in owned.items()
    }


def read_maps(encoder: Encoder, photos: Sequence[Image.Image], texts: Mapping[str, np.ndarray]) -> Maps:
    """Computes every map of N photos; texts: entity -> (N, D), as `tag_texts` gives them.

    Raises:
        InputError: the image tower is not a ViT that E2 can read, or a photo cannot be read.
    """
    grid = encoder.image_tower.grid
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    starts = range(0, len(photos), encoder.batch_size)
    for start, pixels in zip(with_progress(starts, "Maps", len(starts)), encoder.pixels(photos), strict=True):
        rows = slice(start, start + len(pixels))
        own = {entity: torch.from_numpy(vectors[rows]).to(pixels.device) for entity, vectors in texts.items()}
        for name, entities in _maps_of_batch(encoder, pixels, own).items():
            for entity, batch in entities.items():
                found.setdefault(name, {}).setdefault(entity, []).append(batch.float().cpu().numpy())
    maps = {name: {entity: np.concatenate(parts) for entity, parts in own.items()} for name, own in found.items()}
    return maps | {
        name: dict.fromkeys(texts, np.broadcast_to(grid_map, (len(photos), *grid)))
        for name, grid_map in (("centre", centre(grid)), ("random", np.full(grid, 1 / np.prod(grid), dtype=np.float32)))
    }


def centre(grid: tuple[int, int]) -> np.ndarray:
    """Puts all weight on the patches nearest to the middle: one, two or four of them, (rows, columns)."""
    rows, columns = (np.abs(np.arange(cells) - (cells - 1) / 2) < 1 for cells in grid)
    near = (rows[:, None] & columns[None, :]).astype(np.float32)
    return near / near.sum()


def _maps_of_batch(encoder: Encoder, pixels: Tensor, texts: Mapping[str, Tensor]) -> dict[str, Mapping[str, Tensor]]:
    """map -> entity -> (B, rows, columns)."""
    maps: dict[str, Mapping[str, Tensor]] = {}
    if encoder.tags:
        maps |= _token_maps(encoder, pixels, texts)
    maps |= {name: dict.fromkeys(texts, found) for name, found in attention_maps(encoder, pixels).items()}
    return maps | gradient_maps(encoder, pixels, texts)


def _token_maps(encoder: Encoder, pixels: Tensor, entities: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Mean weights of an entity's tokens, over all fusion blocks and at each."""
    chosen = encoder.select(pixels)  # entity -> {layer: (B, k, rows, columns)}
    maps: dict[str, dict[str, Tensor]] = {TOKENS: {}}
    for entity in entities:
        if layers := chosen.get(entity):
            means = {layer: weights.float().mean(dim=1) for layer, weights in layers.items()}
            maps[TOKENS][entity] = torch.stack(list(means.values())).mean(dim=0)
            for layer, weights in means.items():
                maps.setdefault(f"{TOKENS}@{layer}", {})[entity] = weights
    return maps
