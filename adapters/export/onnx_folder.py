"""Exports an encoder as ONNX graphs, ``image.onnx`` and ``text.onnx``, checked against PyTorch.

``image.onnx`` outputs a photo's embedding and, for an E2, its region embeddings. All are of unit length, so a dot product is a
cosine. The batch size is free; texts have the full context length. Selections draw noise only in training, so the graphs are
deterministic.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from e2.adapters.encoder import Encoder
from e2.adapters.export.checks import describe, largest_deviation, photo_rule, sample_pixels, sample_tokens
from e2.adapters.export.int8 import INT8, least_cosine, write_int8
from e2.adapters.export.onnx_encoder import EXACT, IMAGE, TEXT, OnnxModel
from e2.adapters.export.photo_files import save_preprocessing
from e2.adapters.export.record import Exported
from e2.adapters.export.tokenizer_files import save_tokenizer
from e2.errors import InputError, first_line
from e2.extras import extra
from e2.foreign import OpenClip

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


class Graph(nn.Module):
    """A part of a model, with what `torch.export` calls."""

    def __init__(self, model: OpenClip):
        super().__init__()
        self.model: OpenClip = model


class ImageGraph(Graph):
    """Image graph: (B, 3, H, W) -> (B, D), and with ``regions`` (B, E, D) too."""

    def __init__(self, model: OpenClip, regions: bool):
        super().__init__(model)
        self.regions = regions

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        reading = self.model.read(pixels)
        outputs = (reading.image, reading.regions) if self.regions else (reading.image,)
        return tuple(F.normalize(output, dim=-1) for output in outputs)


class TextGraph(Graph):
    """Text graph: (B, L) -> (B, D)."""

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.encode_text(tokens, normalize=True)


def write_onnx(encoder: Encoder, folder: Path, *, int8: bool = False) -> Exported:
    """Writes graphs, tokenizer and preprocessing into an existing folder.

    Args:
        encoder: any; its model is moved to the CPU.
        int8: also the graphs with linear layers and word vectors in 8 bits (``image.int8.onnx``, ``text.int8.onnx``).

    Raises:
        InputError: onnx is not installed, PyTorch cannot express the model in ONNX, or the graphs deviate from it.
    """
    with extra("onnx", "ONNX export"):
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    model = encoder.model.to("cpu").eval()
    regions = ["region_embeddings"] if encoder.tags else []
    image, text = (folder / f"{name}{EXACT}" for name in (IMAGE, TEXT))
    opset = _graph(
        ImageGraph(model, bool(regions)), sample_pixels(encoder, 2), image, "pixels", ["image_embeddings", *regions]
    )
    _graph(TextGraph(model), sample_tokens(encoder), text, "tokens", ["text_embeddings"])
    rule = photo_rule(encoder)
    save_preprocessing(rule, encoder.preprocess, folder)
    further: dict[str, Any] = {"opset": opset, "tokenizer": save_tokenizer(encoder.tokenizer, folder)}
    deviation = largest_deviation(_compared(encoder, OnnxModel(folder, encoder.tags, rule)))
    if int8:
        with _quiet():
            further["int8"] = [write_int8(graph).name for graph in (image, text)]
        further["int8_least_cosine"] = least_cosine(_compared(encoder, OnnxModel(folder, encoder.tags, rule, INT8)))
    return describe(encoder, "onnx", deviation, further)


@torch.inference_mode()
def _compared(encoder: Encoder, onnx_model: OnnxModel) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields outputs of both for batches of other sizes than the traced one."""
    pixels, tokens = sample_pixels(encoder, 8), sample_tokens(encoder)
    for batch in (pixels[:1], pixels[1:4], pixels):
        yield from zip(ImageGraph(encoder.model, bool(encoder.tags))(batch), onnx_model.image_outputs(batch), strict=True)
    for batch in (tokens[:1], tokens):
        yield encoder.model.encode_text(batch, normalize=True), onnx_model.encode_text(batch)


def _graph(module: nn.Module, example: Tensor, path: Path, input_name: str, output_names: list[str]) -> int:
    """Writes one graph and returns its opset."""
    with extra("onnx", "ONNX export"):
        import onnx
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad(), _quiet():
            # Strict: only then does a ``len()`` in the model follow the batch.
            program = torch.export.export(module.eval(), (example,), dynamic_shapes=({0: batch},), strict=True)
            names: dict[str, Any] = {"input_names": [input_name], "output_names": output_names}
            torch.onnx.export(program, (), str(path), dynamo=True, external_data=False, verbose=False, **names)
    except Exception as error:  # PyTorch raises dozens of kinds, each for something that a graph cannot hold
        raise InputError(f"PyTorch cannot express this model as ONNX: {first_line(error)}") from error
    graph = onnx.load(path)
    if noise := RANDOM & {node.op_type for node in graph.graph.node}:
        raise InputError(f"the graph would draw {', '.join(sorted(noise))}, so its outputs would vary; it was not written")
    return next(entry.version for entry in graph.opset_import if not entry.domain)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter, which reports progress on stdout and warns of its own internals."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
