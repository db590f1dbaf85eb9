"""Writes the README.md of an exported folder, with a few lines of code that run."""

from e2.adapters.export.record import Exported
from e2.adapters.export.tokenizer_files import FILE

INTRODUCTION = """# {name}

Written by `e2 export --format {format}` (e2 {version}) from {source}. Largest deviation from PyTorch: {deviation:.1e}.
{entities}
"""

ONNX = """
`image.onnx`: `pixels` (batch, 3, {height}, {width}) -> `image_embeddings` (batch, {dim}){regions}.
`text.onnx`: `tokens` (batch, {length}) -> `text_embeddings` (batch, {dim}).
All embeddings are of unit length; opset {opset}.{int8} `preprocess.py` makes pixels of any photo as in training (NumPy and
Pillow; `preprocess.json` holds the numbers): turned by EXIF, on white where transparent, 16 bits scaled.

```python
import onnxruntime as ort

from preprocess import pixels  # of this folder
{tokenizer}

image = ort.InferenceSession("image.onnx").run(["image_embeddings"], {{"pixels": pixels("photo.jpg")}})[0]
text = ort.InferenceSession("text.onnx").run(None, {{"tokens": tokens(["a red dress", "a grey tee"])}})[0]
print(image @ text.T)
```
{notes}"""

CLIP_TOKENIZER = "from tokens import tokens  # of this folder; repairs texts as in training"
HUB_TOKENIZER = """from open_clip.tokenizer import HFTokenizer

words = HFTokenizer("{file}", context_length={length}, clean="{clean}")
tokens = lambda texts: words(texts).numpy()"""
TOKENIZER_JSON = """
`tokenizer.json` by itself (`AutoTokenizer`, Rust, JavaScript) repairs ligatures, full-width letters, quotes and the commonest
escapes, but neither broken encodings nor rare escapes: for texts that hold such, `tokens.py` is exact.
"""

PHOTOS = """
`preprocess.py` makes pixels of any photo as in training: turned by EXIF, on white where transparent, 16 bits scaled. {other}
does none of this: give it upright RGB pictures only (`preprocess.upright_rgb(Image.open(path))` makes one of any).
"""

OPEN_CLIP = """
```python
import open_clip
import torch

from preprocess import pixels  # of this folder

model, _, _ = open_clip.create_model_and_transforms("local-dir:.")
tokenizer = open_clip.get_tokenizer("local-dir:.")
model.eval()
with torch.no_grad():
    image = model.encode_image(torch.from_numpy(pixels("photo.jpg")), normalize=True)
    text = model.encode_text(tokenizer(["a red dress", "a grey tee"]), normalize=True)
print(image @ text.T)
```
""" + PHOTOS.format(other="open_clip's own transform")

TRANSFORMERS = """{needs}
```python
import torch
from transformers import AutoModel

from preprocess import pixels  # of this folder
{tokenizer}

model = AutoModel.from_pretrained("."{trust}).eval()
texts, photos = torch.from_numpy(tokens(["a red dress", "a grey tee"])), torch.from_numpy(pixels("photo.jpg"))
with torch.no_grad():
    print(model(input_ids=texts, pixel_values=photos).logits_per_image)
```
{notes}""" + PHOTOS.format(other="`AutoImageProcessor`")
OWN_CODE = """
The folder brings its own code (Apache 2.0), which `trust_remote_code=True` runs; read it first if it is not from you. It
needs `open_clip_torch` and `pydantic`. `model.get_region_features(pixels)` gives the region embeddings.
"""


def readme(exported: Exported, rule: dict, name: str) -> str:
    """Writes the text for a folder of that name; ``rule`` is the preprocessing."""
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
    return ONNX.format(
        height=height,
        width=width,
        dim=dim,
        length=length,
        opset=exported.further["opset"],
        regions=f" and `region_embeddings` (batch, {len(exported.tags)}, {dim})" if exported.tags else "",
        int8=" The `.int8` graphs are smaller, and less exact." if "int8" in exported.further else "",
        **_tokenizer(exported),
    )


def _transformers(exported: Exported, rule: dict) -> str:
    own_code = exported.further["own_code"]
    trust = ", trust_remote_code=True" if own_code else ""
    return TRANSFORMERS.format(needs=OWN_CODE if own_code else "", trust=trust, **_tokenizer(exported))


def _tokenizer(exported: Exported) -> dict[str, str]:
    """Lines that define ``tokens``, and notes on them."""
    described = exported.further["tokenizer"]
    if described["file"] == FILE:
        return {"tokenizer": CLIP_TOKENIZER, "notes": TOKENIZER_JSON}
    lines = HUB_TOKENIZER.format(file=described["file"], length=described["context_length"], clean=described["clean"])
    return {"tokenizer": lines, "notes": ""}
