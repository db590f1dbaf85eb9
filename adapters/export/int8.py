"""A graph in 8 bits: its linear layers and word vectors, by ONNX Runtime's dynamic quantisation."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from e2.errors import InputError

INT8 = ".int8.onnx"  # ending of these graphs
QUANTISED = ["MatMul", "Gemm", "Gather"]  # linear layers and the table of word vectors; a convolution would become slower
LEAST_COSINE = 0.9  # to PyTorch's vectors; what 8 bits cost is some 0.001, so below it something went wrong


def write_int8(path: Path) -> Path:
    """``NAME.onnx`` -> ``NAME.int8.onnx`` beside it."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = path.with_suffix(INT8)
    with tempfile.TemporaryDirectory() as temporary:
        folded = Path(temporary) / path.name
        # A weight that several layers use is transposed in the graph; only folded is it a constant, which 8 bits need.
        quant_pre_process(path, folded, skip_symbolic_shape=True)
        model = onnx.load(folded)
    give_each_layer_its_own_weight(model.graph)
    quantize_dynamic(model, target, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=QUANTISED)
    return target


def give_each_layer_its_own_weight(graph: Any) -> None:
    """Copies what two Gemm share: the quantiser transposes a Gemm's weight in place, twice where two use it (up to 1.31)."""
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
    """Over (PyTorch's, theirs), both of unit length along the last axis.

    Raises:
        InputError: it is so small that what was written is of no use.
    """
    least = min(float((ours * theirs).sum(-1).min()) for ours, theirs in pairs)
    if not least >= LEAST_COSINE:  # not a number counts as too small
        raise InputError(f"in 8 bits this model's vectors keep a cosine of only {least:.2f} to PyTorch's; leave out --int8")
    return least
