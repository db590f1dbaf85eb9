"""The README.md of an exported folder: what it is, and a few lines that run."""

from adapters.export.exported import Exported
from adapters.export.tokenizer_files import FOLDER

INTRODUCTION = """# {name}

Written by `e2 export --format {format}` (e2 {version}) from {source}. Largest deviation from PyTorch: {deviation:.1e}.
{entities}
"""

ONNX = """
`image.onnx`: `pixels` (batch, 3, {height}, {width}) -> `image_embeddings` (batch, {dim}){regions}.
`text.onnx`: `tokens` (batch, {length}) -> `text_embeddings` (batch, {dim}).
All embeddings are of unit length; opset {opset}. `preprocess.json` says how a photo becomes pixels.{int8}

```python
{imports}
import numpy as np
import onnxruntime as ort
from PIL import Image

def pixels(path):
    photo = Image.open(path).convert("RGB")
    {resize}
    return ((np.asarray(photo, np.float32) / 255 - {mean}) / {std}).astype(np.float32).transpose(2, 0, 1)[None]

{tokenizer}
image = ort.InferenceSession("image.onnx").run(["image_embeddings"], {{"pixels": pixels("photo.jpg")}})[0]
text = ort.InferenceSession("text.onnx").run(None, {{"tokens": tokens(["a red dress", "a grey tee"])}})[0]
print(image @ text.T)
```
"""

SQUASH = "photo = photo.resize(({width}, {height}), Image.{interpolation})"
SHORTEST = """scale = {side} / min(photo.size)
    photo = photo.resize([max({side}, int(side * scale)) for side in photo.size], Image.{interpolation})
    left, top = round((photo.width - {width}) / 2), round((photo.height - {height}) / 2)
    photo = photo.crop((left, top, left + {width}, top + {height}))"""
RUST_TOKENIZER = """words = Tokenizer.from_file("tokenizer.json")
tokens = lambda texts: np.array([entry.ids for entry in words.encode_batch(texts)], np.int64)"""
HUB_TOKENIZER = """words = HFTokenizer("tokenizer", context_length={length}, clean="{clean}")
tokens = lambda texts: words(texts).numpy()"""

OPEN_CLIP = """
```python
import open_clip

model, _, preprocess = open_clip.create_model_and_transforms("local-dir:.")
tokenizer = open_clip.get_tokenizer("local-dir:.")
```
"""

TRANSFORMERS = """{needs}
```python
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

model = AutoModel.from_pretrained("."{trust}).eval()
processor = AutoImageProcessor.from_pretrained("."{trust})
tokenizer = AutoTokenizer.from_pretrained("."{trust})
texts = tokenizer(["a red dress", "a grey tee"], padding="max_length", truncation=True, return_tensors="pt")
photos = processor(images=Image.open("photo.jpg").convert("RGB"), return_tensors="pt")
with torch.no_grad():
    print(model(input_ids=texts.input_ids, pixel_values=photos.pixel_values).logits_per_image)
```
"""
OWN_CODE = """
The folder brings its own code (Apache 2.0), which `trust_remote_code=True` runs; read it first if it is not from you. It
needs `open_clip_torch`. `model.get_region_features(pixels)` gives the region embeddings.
"""


def readme(exported: Exported, rule: dict, name: str) -> str:
    """The text for a folder of that name; ``rule`` says how photos are prepared."""
    entities = f"\nEntities, in the order of the region embeddings: {', '.join(exported.tags)}.\n" if exported.tags else ""
    if exported.further.get("backbone_only"):
        entities = (
            "\nThe backbone only: the selection tokens of the original, which open_clip has no place for, are left out. It is "
            "another model, which found next to nothing where we measured it: a start for fine-tuning, no encoder to use.\n"
        )
    introduction = INTRODUCTION.format(
        name=name,
        format=exported.format,
        version=exported.version,
        source=f"`{exported.source['path']}` ({exported.source['method']}, {exported.source['backbone']})",
        deviation=exported.largest_deviation,
        entities=entities,
    )
    bodies = {"onnx": _onnx, "open_clip": lambda *_: OPEN_CLIP, "transformers": _transformers}
    return introduction + bodies[exported.format](exported, rule)


def _onnx(exported: Exported, rule: dict) -> str:
    (height, width), dim, length = rule["size"], exported.embed_dim, exported.context_length
    places = {"height": height, "width": width, "side": min(height, width), "interpolation": rule["interpolation"].upper()}
    described = exported.further["tokenizer"]
    from_hub = described["file"] == FOLDER
    return ONNX.format(
        **places,
        dim=dim,
        length=length,
        opset=exported.further["opset"],
        regions=f" and `region_embeddings` (batch, {len(exported.tags)}, {dim})" if exported.tags else "",
        int8=" The `.int8` graphs are smaller, and less exact." if "int8" in exported.further else "",
        resize=(SQUASH if rule["resize_mode"] == "squash" else SHORTEST).format(**places),
        mean=list(rule["mean"]),
        std=list(rule["std"]),
        imports="from open_clip.tokenizer import HFTokenizer" if from_hub else "from tokenizers import Tokenizer",
        tokenizer=HUB_TOKENIZER.format(length=length, clean=described["clean"]) if from_hub else RUST_TOKENIZER,
    )


def _transformers(exported: Exported, rule: dict) -> str:
    own_code = exported.further["own_code"]
    return TRANSFORMERS.format(needs=OWN_CODE if own_code else "", trust=", trust_remote_code=True" if own_code else "")
