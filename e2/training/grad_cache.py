"""Computes the gradients of a batch larger than a device, with the memory of one chunk.

GradCache (Gao et al., 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"): features are computed
chunk by chunk without a graph; the losses on all of them give each feature's gradient; then every chunk is encoded again, with
a graph, and backpropagates its share. The price is one more forward pass.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from e2.activations import Photos
from e2.batch import Batch, Features
from e2.methods import Method


class CachedFeatures:
    """The features of a batch, encoded in chunks; ``backward`` propagates their gradients to the weights.

    Args:
        method: encodes row by row, so that chunks equal the whole.
        batch: its images may be on the CPU; they follow chunk by chunk.
        chunk_size: products, and texts, at a time.
        context: entered anew around each pass (autocast must not hand a cast made without a graph to a pass with one).

    Attributes:
        features: leaves that take gradients.
    """

    def __init__(self, method: Method, batch: Batch, chunk_size: int, context: Callable = contextlib.nullcontext):
        self.device, self.context = batch.tokens.device, context
        self.image_parts = list(self._parts(batch.images, chunk_size, self._image_encoder(method, batch)))
        self.text_parts = list(self._parts(batch.tokens, chunk_size, self._text_encoder(method, batch, chunk_size)))
        self.features = Features(self._leaves(self.image_parts), self._leaves(self.text_parts))

    def _image_encoder(self, method: Method, batch: Batch) -> Callable[[slice], dict[str, Tensor]]:
        def encode(rows: slice) -> dict[str, Tensor]:
            noise = None if batch.noise is None else {layer: tensor[rows] for layer, tensor in batch.noise.items()}
            kept = None if batch.kept is None else batch.kept[rows]
            return method.image_features(batch.images[rows].to(self.device, non_blocking=True), noise, kept)

        return encode

    def _text_encoder(self, method: Method, batch: Batch, size: int) -> Callable[[slice], dict[str, Tensor]]:
        def encode(rows: slice) -> dict[str, Tensor]:
            return method.text_features(batch.tokens[rows], batch.layouts[rows.start // size] if batch.layouts else None)

        return encode

    def _parts(self, rows: Photos, size: int, encode: Callable) -> Iterator["_Part"]:
        for start in range(0, len(rows), size):
            yield _Part(encode, slice(start, start + size), self.device, self.context)

    @staticmethod
    def _leaves(parts: list["_Part"]) -> dict[str, Tensor]:
        """Joins the parts' features, as leaves."""
        joined = {name: torch.cat([part.features[name] for part in parts]) for name in parts[0].features}
        for part in parts:
            part.features = {}
        return {name: tensor.requires_grad_() for name, tensor in joined.items()}

    def backward(self, last: Callable = contextlib.nullcontext) -> None:
        """Encodes each chunk again and adds to the weights' gradients; call it after the losses' backward pass.

        ``last``: context of the last chunk's pass. It is one of photos, whose tower is the larger one.
        """
        sides = ((self.text_parts, self.features.texts), (self.image_parts, self.features.images))
        passes = [(part, leaves) for parts, leaves in sides for part in parts]
        for number, (part, leaves) in enumerate(passes, 1):
            with last() if number == len(passes) else contextlib.nullcontext():
                part.backward({name: leaf.grad[part.rows] for name, leaf in leaves.items() if leaf.grad is not None})


class _Part:
    """Some rows, encoded once without a graph and once with it, with the same random numbers."""

    def __init__(self, encode: Callable, rows: slice, device: torch.device, context: Callable):
        self.encode, self.rows, self.device, self.context = encode, rows, device, context
        self.random = _random_state(device)  # dropout draws from it
        with context(), torch.no_grad():
            self.features = encode(rows)

    def backward(self, gradients: dict[str, Tensor]) -> None:
        _restore_random_state(self.random, self.device)
        with self.context():
            again = self.encode(self.rows)
        reached = [name for name in gradients if again[name].requires_grad]
        if reached:  # a frozen tower has nothing to learn
            torch.autograd.backward([again[name] for name in reached], [gradients[name] for name in reached])


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _restore_random_state(state: tuple[Tensor, Tensor | None], device: torch.device) -> None:
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, device)
