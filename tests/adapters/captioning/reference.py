"""Weights of the original DeCap and CapDec implementations, by the names of their tensors."""

from collections.abc import Mapping

from torch import Tensor
from transformers import GPT2Config, GPT2Model

from e2.accounting import load_exactly
from e2.adapters.captioning.mappers import MLPMapper, TransformerMapper
from e2.adapters.captioning.model import CaptionModel
from e2.errors import InputError

DECODERS = ("decoder.transformer.", "gpt.transformer.")  # of DeCap and of CapDec
BUFFERS = (".attn.bias", ".attn.masked_bias")  # of old transformers versions: masks, no weights


def reference_model(tensors: Mapping[str, Tensor], *, heads: int, mapper_heads: int = 8) -> CaptionModel:
    """A DeCap or CapDec checkpoint as a `CaptionModel`; convert its ``.pt`` to safetensors first.

    Args:
        tensors: ``clip_project.*`` with ``decoder.*`` (DeCap; 50257 vocabulary rows are fine) or ``gpt.*`` (CapDec).
        heads: of the language model, which no shape tells (DeCap 4, GPT-2 small 12).
        mapper_heads: of a transformer mapper.

    Raises:
        InputError: other tensors than these.
    """
    prefix = next((name for name in DECODERS if f"{name}wte.weight" in tensors), None)
    if prefix is None:
        raise InputError("no DeCap or CapDec weights: they have decoder.transformer.wte.weight or gpt.transformer.wte.weight")
    decoder = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    decoder = {name: t for name, t in decoder.items() if not name.endswith(BUFFERS)}
    projection = {name.removeprefix("clip_project."): t for name, t in tensors.items() if name.startswith("clip_project.")}
    vocab_size, width = decoder["wte.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in decoder if name.startswith("h."))
    positions = len(decoder["wpe.weight"])
    config = GPT2Config(vocab_size=vocab_size, n_positions=positions, n_embd=width, n_layer=layers, n_head=heads)
    model = CaptionModel(_mapper(projection, width, mapper_heads), GPT2Model(config))
    for module, state in ((model.mapper, projection), (model.language_model, decoder)):
        load_exactly(module, state, "the weights are not those of the original")
    return model.eval()


def _mapper(tensors: Mapping[str, Tensor], width: int, heads: int) -> MLPMapper | TransformerMapper:
    if "prefix_const" in tensors:
        length = len(tensors["prefix_const"])
        out, features = tensors["linear.weight"].shape
        layers = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("transformer.layers."))
        return TransformerMapper(features, width, length, out // width, layers, heads)
    weights = [tensors[name] for name in sorted(tensors) if name.endswith("weight")]
    if not weights:
        raise InputError("the weights have no clip_project.*, the map from the embedding to the prefix")
    sizes = (weights[0].shape[1], *(len(weight) for weight in weights))
    return MLPMapper(sizes, sizes[-1] // width)
