"""Loads an exported ONNX folder as an :class:`~e2.adapters.encoder.Encoder`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from e2.adapters.export.record import RECORD, RULE_FILE, Exported, read_export
from e2.adapters.export.tokenizer_files import FILE, FOLDER, load_tokenizer
from e2.data.transforms import photo_transform
from e2.errors import InputError, first_line
from e2.extras import extra
from e2.files import file_sha256
from e2.notes import note
from e2.reader import Reading

IMAGE, TEXT = "image", "text"
EXACT = ".onnx"  # suffix of the graphs that were compared with PyTorch
ENDINGS = {"onnx:": EXACT, "onnx-int8:": ".int8.onnx"}  # prefix of a name -> suffix of its graphs


class NotInGraphs(InputError, AttributeError):
    """Something that the graphs do not hold was requested; for ``getattr`` it is simply absent."""


class OnnxModel(nn.Module):
    """Both graphs of a folder, called like an E2 or open_clip model. Embeddings are of unit length.

    Args:
        folder: folder of the graphs.
        tags: the entities of the region embeddings.
        rule: preprocessing of photos.
        ending: suffix of the graphs' names.

    Raises:
        InputError: onnxruntime is not installed, or a graph is missing or damaged.
    """

    unit_length = True

    def __init__(self, folder: Path, tags: Sequence[str], rule: Mapping[str, Any], ending: str = EXACT):
        super().__init__()
        self.folder, self.tags = folder, tuple(tags)
        self.visual = SimpleNamespace(preprocess_cfg=dict(rule))
        graphs = [folder / f"{name}{ending}" for name in (IMAGE, TEXT)]
        self.image, self.text = map(_session, graphs)
        self.graph_bytes = sum(path.stat().st_size for path in graphs)

    def __getattr__(self, name: str) -> Any:
        raise NotInGraphs(
            f"{self.__dict__.get('folder')} holds ONNX graphs, which give only embeddings; for this give the "
            "checkpoint that they were exported from"
        )

    def image_outputs(self, pixels: Tensor) -> list[Tensor]:
        """Runs the image graph: (B, 3, H, W) -> (B, D) and, for an E2, (B, E, D)."""
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


def load_onnx(name: str, *, device: str = "auto", precision: str = "fp32", cache: Path | None = None) -> dict[str, Any]:
    """Loads an encoder's arguments from a folder of `e2 export --format onnx`; it runs on the CPU.

    The exact graphs give their checkpoint's vectors and carry its hash, so indexes, captioners and composers made with it fit.
    Those in 8 bits differ, and have their own hash.

    Args:
        name: ``onnx:FOLDER``, or ``onnx-int8:FOLDER`` for the graphs in 8 bits.
        device, precision, cache: as other encoders of a comparison take them; a note says that they do not apply here.
    """
    if device not in ("auto", "cpu"):
        note(f"{name} runs on the CPU, not on {device}")
    if precision != "fp32":
        note(f"{name} computes in the precision that it was exported in, not in {precision}")
    if cache is not None:
        note(f"{name} reads photos itself; --cache does not serve exported graphs")
    kind, _, path = name.partition(":")
    folder, ending = Path(path), ENDINGS[f"{kind}:"]
    record = read_export(folder)
    if record.format != "onnx":
        raise InputError(f"{folder} is an export to {record.format}, not to onnx")
    try:
        graphs = _checked_graphs(record, folder, ending)
        rule = json.loads((folder / RULE_FILE).read_text())
        identity = record.source["weights_sha256"]
        if ending != EXACT:
            identity = hashlib.sha256("".join(record.sha256[graph] for graph in graphs).encode()).hexdigest()
        preprocess, tokenizer = photo_transform(rule), load_tokenizer(folder, record.further["tokenizer"])
        info = {**record.source, "path": name, "weights_sha256": identity, "runtime": "onnxruntime"}
        model = OnnxModel(folder, record.tags, rule, ending)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / RECORD} is damaged: {first_line(error)}; export again") from error
    parts = {"model": model, "preprocess": preprocess, "tokenizer": tokenizer, "info": info}
    return {**parts, "device": "cpu", "precision": "fp32", "cache": None, "loss": record.loss, "taught": record.taught}


def _checked_graphs(record: Exported, folder: Path, ending: str) -> list[str]:
    """Names both graphs, after checking every file to be read against the export's record."""
    graphs = [f"{name}{ending}" for name in (IMAGE, TEXT)]
    beside = [name for name in record.sha256 if name in (RULE_FILE, FILE) or name.startswith(f"{FOLDER}/")]
    for name in graphs + beside:
        if name not in record.sha256 or not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing, there or in {RECORD}; export again (8 bits: by --int8)")
        if file_sha256(folder / name) != record.sha256[name]:
            raise InputError(f"{folder / name} is damaged or of another export; copy the whole folder, or export again")
    return graphs


def _session(path: Path):
    with extra("onnx", "an encoder of ONNX graphs"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise InputError(f"{path} is damaged or not for this onnxruntime: {first_line(error)}; export again") from error
