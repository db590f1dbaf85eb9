"""Captions of reference photos: from our captioner, from an image-to-text model of transformers, or from a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image

from adapters.composed.base import References
from adapters.image_batches import ImageSource
from e2.data.images import as_photo
from e2.errors import InputError


class CaptionSource(Protocol):
    """References -> one caption each."""

    @property
    def info(self) -> dict[str, Any]: ...

    def captions(self, references: References) -> list[str]: ...


class OurCaptions:
    """A captioner that `e2 caption fit` wrote (DeCap, CapDec)."""

    def __init__(self, path: str | Path, encoder: Any = None):
        from adapters.captioning import load_captioner

        self.path, self._captioner = str(path), load_captioner(path, encoder)

    @property
    def info(self) -> dict[str, Any]:
        return {"captions": self.path}

    def captions(self, references: References) -> list[str]:
        return self._captioner.caption(references.images)


class TransformersCaptions:
    """An image-to-text model of transformers (BLIP, GIT, ...).

    Args:
        name: a local folder, or a name on the hub (may download).
        device: where it runs.
        batch_size: photos at a time.

    Raises:
        InputError: it cannot be loaded.
    """

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 8):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        try:
            self._processor = AutoProcessor.from_pretrained(name)
            self._model = AutoModelForImageTextToText.from_pretrained(name).eval().to(device)
        except (OSError, ValueError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise InputError(f"cannot load captioner {name!r}: {reason}; give a local folder or a name on the hub") from error
        self.name, self.device, self.batch_size = name, device, batch_size

    @property
    def info(self) -> dict[str, Any]:
        return {"captions": self.name}

    @torch.inference_mode()
    def captions(self, references: References) -> list[str]:
        found: list[str] = []
        for start in range(0, len(references), self.batch_size):
            rows = range(start, min(start + self.batch_size, len(references)))
            photos = [as_photo(references.images[row]) for row in rows]
            inputs = self._processor(images=photos, return_tensors="pt").to(self.device)
            ids = self._model.generate(**inputs, max_new_tokens=40)
            found += [text.strip() for text in self._processor.batch_decode(ids, skip_special_tokens=True)]
        return found


class FileCaptions:
    """Captions in a file: ``{"name": "caption"}`` in JSON, or JSON lines with ``image`` or ``product_id``, and ``caption``.

    A photo is looked up by its path as given, its file name, and its file name without the ending. References that carry
    ``names`` (one string each) are looked up by those.

    Raises:
        InputError: no such file, not of these forms, or no caption for a photo.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._captions = _read_captions(self.path)

    @property
    def info(self) -> dict[str, Any]:
        return {"captions": str(self.path)}

    def captions(self, references: References) -> list[str]:
        return [self._caption(keys) for keys in image_keys(references.images)]

    def _caption(self, keys: list[str]) -> str:
        caption = next((self._captions[key] for key in keys if key in self._captions), None)
        if caption is None:
            shown = keys[0] if keys else "a photo without a name"
            raise InputError(f"{self.path} has no caption for {shown}; add one, or use a captioner")
        return caption


def image_keys(images: Sequence[ImageSource]) -> list[list[str]]:
    """The names by which each photo may be known, the most telling first."""
    names = getattr(images, "names", None)
    if names is not None:
        return [[str(name)] for name in names]
    return [_keys(images[i]) for i in range(len(images))]


def _keys(image: ImageSource) -> list[str]:
    path = getattr(image, "filename", "") if isinstance(image, Image.Image) else image
    if isinstance(path, bytes) or not path:
        return []
    return [str(path), Path(path).name, Path(path).stem]


def _read_captions(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".jsonl":
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
            return {str(r.get("image") or r["product_id"]): str(r["caption"]) for r in records if r.get("caption")}
        return {str(name): str(caption) for name, caption in json.loads(text).items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f'{path} is no captions file; it should read {{"photo.jpg": "caption"}} or be JSON lines') from error
