"""Quantises a graph's linear layers and word vectors to 8 bits, by ONNX Runtime's dynamic quantisation."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from e2.errors import InputError
from e2.extras import extra

INT8 = ".int8.onnx"  # suffix of these graphs
QUANTISED = ["MatMul", "Gemm", "Gather"]  # linear layers and the table of word vectors; a convolution would become slower
LEAST_COSINE = 0.9  # to PyTorch's vectors; 8 bits cost about 0.001, so below it something went wrong


def write_int8(path: Path) -> Path:
    """Writes ``NAME.int8.onnx`` beside ``NAME.onnx``."""
    with extra("onnx", "a graph in 8 bits"):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.quantization.shape_inference import quant_pre_process

    target = path.with_suffix(INT8)
    with tempfile.TemporaryDirectory() as temporary:
        folded = Path(temporary) / path.name
        # Weights shared by several layers are transposed in the graph; only folding makes them constants, which 8 bits need.
        quant_pre_process(path, folded, skip_symbolic_shape=True)
        model = onnx.load(folded)
    give_each_layer_its_own_weight(model.graph)
    quantize_dynamic(model, target, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=QUANTISED)
    return target


def give_each_layer_its_own_weight(graph: Any) -> None:
    """Copies weights shared by Gemms: the quantiser (up to 1.31) transposes them in place, twice if two share one."""
    weights, taken = {tensor.name: tensor for tensor in graph.initializer}, set()
    for node in graph.node:
        if node.op_type != "Gemm" or node.input[1] not in weights:
            continue
        name = node.input[1]
        if name in taken:
            own = graph.initializer.add()
            own.CopyFrom(weights[name])
            own.name = node.input[1] = f"{name}/{node.name}"
        taken.add(name)


def least_cosine(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Least cosine over (PyTorch's, theirs), both of unit length along the last axis."""
    least = min(float((ours * theirs).sum(-1).min()) for ours, theirs in pairs)
    if not least >= LEAST_COSINE:  # NaN counts as too small
        raise InputError(f"in 8 bits this model's vectors keep a cosine of only {least:.2f} to PyTorch's; leave out --int8")
    return least
