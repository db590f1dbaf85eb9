"""Captions of reference photos: from our captioner, an image-to-text model of transformers, or a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from PIL import Image

from e2.adapters.captioning.files import own_ids, read_captions
from e2.adapters.composed.base import References
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.backbone_sources import TRANSFORMERS
from e2.data.images import as_photo
from e2.errors import InputError, escaped, printable

if TYPE_CHECKING:  # loads transformers, which files of captions need not wait for
    from e2.adapters.captioning.captioner import Captioner


class CaptionSource(Protocol):
    """Source of a caption for each reference."""

    @property
    def info(self) -> dict[str, Any]: ...

    def captions(self, references: References) -> list[str]: ...


class OurCaptions:
    """Captioner of `e2 caption fit` (DeCap, CapDec); its encoder may be ``among`` those loaded."""

    def __init__(self, captioner: "Captioner"):
        self.captioner = captioner

    @property
    def info(self) -> dict[str, Any]:
        return {"captions": self.captioner.info["path"]}

    def captions(self, references: References) -> list[str]:
        if references.encoder is not self.captioner.encoder:
            return self.captioner.caption(references.images)
        regions = references.regions if self.captioner.reads_regions else None
        return self.captioner.caption_features(references.features, regions)


class TransformersCaptions:
    """An image-to-text model of transformers (BLIP, GIT, ...).

    Args:
        name: a local folder, or a name on the hub (may download).
        batch_size: photos at a time.
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
    """Captions in a file, in any form that `e2.adapters.captioning.files` reads.

    A photo is looked up by its path as given, by the ends of this path down to the file name, and by the file name without
    suffix. References that carry ``names`` (one string each) are looked up by those.
    """

    def __init__(self, path: str | Path):
        self._file = read_captions(path)
        self.path = self._file.path

    @property
    def info(self) -> dict[str, Any]:
        return {"captions": str(self.path)}

    def captions(self, references: References) -> list[str]:
        return [self._caption(keys) for keys in image_keys(references.images)]

    def _caption(self, keys: list[str]) -> str:
        known = next((key for key in keys if key in self._file.captions), None)
        if known is not None:
            return self._file.captions[known]
        shown = printable(keys[0]) if keys else "a photo without a name"
        failed = next((f" ({self._file.failed[key]})" for key in keys if key in self._file.failed), "")
        own = own_ids(self._file.ids, keys[0] if keys else "")
        raise InputError(f"{self.path} has no caption for {shown}{failed}, but for {own}; add one, or use a captioner")


def captions_of(source: CaptionSource | str | Path, encoder: Encoder) -> CaptionSource:
    """Source of the references' captions: a captioner's folder, a captions file, or ``transformers:NAME``."""
    if not isinstance(source, (str, Path)):
        return source
    if str(source).startswith(TRANSFORMERS):
        return TransformersCaptions(str(source).removeprefix(TRANSFORMERS), device=str(encoder.device))
    if Path(source).is_dir():
        from e2.adapters.captioning import load_captioner

        return OurCaptions(load_captioner(source, among=[encoder]))
    if Path(source).is_file():
        return FileCaptions(source)
    raise InputError(f"no captions in {source}: give a captioner's folder, a captions file or {TRANSFORMERS}NAME")


def image_keys(images: Sequence[ImageSource]) -> list[list[str]]:
    """Names by which each photo may be known, most specific first."""
    names = getattr(images, "names", None)
    if names is not None:
        return [[str(name)] for name in names]
    return [_keys(images[i]) for i in range(len(images))]


def _keys(image: ImageSource) -> list[str]:
    path = getattr(image, "filename", "") if isinstance(image, Image.Image) else image
    if isinstance(path, bytes) or not path:
        return []
    parts = Path(path).parts
    ends = (str(Path(*parts[start:])) for start in range(1, len(parts)))
    return list(dict.fromkeys(escaped(name) for name in (str(path), *ends, Path(path).stem)))
