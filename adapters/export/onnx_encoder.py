"""An exported ONNX folder as an :class:`~adapters.encoder.Encoder`, so that everything here runs on it as on PyTorch."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapters.encoder import Encoder
from adapters.export.exported import photo_transform, read_export
from adapters.export.tokenizer_files import load_tokenizer
from e2.errors import InputError, first_line
from e2.reader import Reading

IMAGE, TEXT, PHOTO_RULE_FILE = "image.onnx", "text.onnx", "preprocess.json"
PRECISIONS = {"fp32": ".onnx", "int8": ".int8.onnx"}


class OnnxModel(nn.Module):
    """Both graphs of a folder, called as an E2 or open_clip model is. Embeddings are of unit length.

    Raises:
        InputError: onnxruntime is not installed, or a graph is missing or damaged.
    """

    def __init__(self, folder: Path, tags: Sequence[str], precision: str = "fp32"):
        super().__init__()
        self.tags = tuple(tags)
        self.image, self.text = (_session((folder / name).with_suffix(PRECISIONS[precision])) for name in (IMAGE, TEXT))

    def image_outputs(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> (B, D) and, of an E2, (B, E, D)."""
        return [torch.from_numpy(output) for output in self.image.run(None, {"pixels": pixels.float().numpy()})]

    def read(self, pixels: Tensor) -> Reading:
        image, *regions = self.image_outputs(pixels)
        return Reading(image, regions[0] if regions else image.new_zeros(len(image), 0, image.shape[-1]), {})

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.image_outputs(pixels)[0]

    def encode_regions(self, pixels: Tensor) -> Tensor:
        return self.read(pixels).regions

    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.from_numpy(self.text.run(None, {"tokens": tokens.numpy()})[0])


def load_onnx(folder: str | Path, *, precision: str = "fp32", **options: Any) -> Encoder:
    """The encoder of a folder that `e2 export --format onnx` wrote; it runs on the CPU.

    Args:
        precision: fp32 or int8.
        options: ``batch_size`` and ``workers`` of :class:`Encoder`.

    Raises:
        InputError: no such export, damaged, without int8 graphs, or onnxruntime is not installed.
    """
    folder = Path(folder)
    record = read_export(folder)
    if record.format != "onnx":
        raise InputError(f"{folder} is an export to {record.format}, not to onnx")
    model = OnnxModel(folder, record.tags, precision)
    preprocess = photo_transform(json.loads((folder / PHOTO_RULE_FILE).read_text()))
    tokenizer = load_tokenizer(folder, record.further["tokenizer"])
    info = {**record.source, "path": f"{folder} ({precision})", "runtime": "onnxruntime"}
    return Encoder(model, preprocess, tokenizer, info, device="cpu", **options)


def _session(path: Path):
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX graphs need onnxruntime; install it by pip install 'e2-fashion[onnx]'") from error
    if not path.is_file():
        raise InputError(f"{path} is missing; export again (int8 graphs are written by --int8)")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of its own
        raise InputError(f"{path} is damaged or not for this onnxruntime: {first_line(error)}; export again") from error
