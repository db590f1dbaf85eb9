"""The interface through which adapters and benchmarks use an encoder, and ``load_encoder``.

It wraps any CLIP-like model: an E2 checkpoint, any open_clip model by name, tag, file or hub repository, or ONNX graphs.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from e2.activations import Photos
from e2.adapters.encoder_cache import CachedPhotos
from e2.adapters.encoder_parts import encoder_parts
from e2.adapters.image_batches import ImageSource, image_batches
from e2.adapters.product_images import ProductImages
from e2.checkpoint import fill
from e2.devices import advise_on, computing_in, dtype_of, open_device
from e2.distributed import gather_rows, processes, shared_batches
from e2.errors import InputError
from e2.finite import require_finite
from e2.foreign import OpenClip
from e2.progress import with_progress
from e2.texts import cut_to_longest, encode_text, text_keys, truncated
from e2.tower import Tower
from e2.towers import open_tower


class Encoder:
    """Encodes images and texts as L2-normalised float32 NumPy vectors.

    Several processes (``torchrun``) share the work and each gets all vectors, so all must make the same calls; see `alone` for
    a process of its own.

    Args:
        model: an E2 or open_clip model.
        preprocess: PIL image -> (3, H, W).
        tokenizer: list of strings -> (B, L); has ``context_length``.
        info: origin of the model, for every result: ``path``, ``weights_sha256``, ``backbone``, ``method``.
        device: cpu, cuda or auto.
        precision: of the forward pass, fp32, bf16 or fp16; the vectors are always float32.
        batch_size: images or texts at a time.
        workers: processes that decode images; 0 = only this one.
        loss: settings of the training loss, if known: how its tags are read.
        tags: the entities of ``encode_regions``; None: the model's own.
        taught: entities whose tags the training contrasted with photos; None: ``tags``.
        cache: folder in which a catalogue's photos are kept as the frozen layers give them, in half precision; other runs
            and models of the same tower read them.
        trained_groups: last groups of the image tower that the training changed (``optim.image_layers``).

    Attributes:
        tags, taught: as above, empty for plain CLIP.

    Raises:
        InputError: unknown precision or device.
    """

    def __init__(
        self,
        model: OpenClip,
        preprocess: Callable,
        tokenizer: Any,
        info: dict[str, Any],
        *,
        device: str = "auto",
        precision: str = "fp32",
        batch_size: int = 64,
        workers: int = 2,
        loss: dict[str, Any] | None = None,
        tags: Sequence[str] | None = None,
        taught: Sequence[str] | None = None,
        cache: str | Path | None = None,
        trained_groups: int = 0,
    ):
        self.dtype = dtype_of(precision)
        self.device = open_device(device)
        started = processes(on_cpu=self.device.type == "cpu")
        if device == "auto" and started.num_processes > 1:
            self.device = started.device  # each process its own
        advise_on(precision, self.device)
        self.model: OpenClip = model.to(self.device).eval()
        self.preprocess, self.tokenizer, self.info = preprocess, tokenizer, info
        self.precision, self.batch_size, self.workers = precision, batch_size, workers
        self.loss: dict[str, Any] = loss or {}
        self.tags: tuple[str, ...] = tuple(getattr(model, "tags", ()) if tags is None else tags)
        self.taught: tuple[str, ...] = self.tags if taught is None else tuple(taught)
        self.cached: CachedPhotos | None = None
        if cache is not None:
            how: dict[str, Any] = {"precision": precision, "workers": workers, "context": self.autocast}
            self.cached = CachedPhotos(Path(cache), self.model, preprocess, trained_groups, **how)
        self._alone = False

    def alone(self) -> "Encoder":
        """Returns a copy for this process alone, which encodes everything it is given, whatever other processes do."""
        own = copy.copy(self)
        own._alone = True
        return own

    def encode_images(self, images: Sequence[ImageSource], progress: bool = True, *, normalize: bool = True) -> np.ndarray:
        """Encodes N images (PIL, paths or encoded bytes; any sequence, read lazily): (N, D).

        Args:
            images: N images.
            progress: show a bar.
            normalize: False keeps the tower's own length, as pseudo-words need.

        Raises:
            InputError: an unreadable image, which the message names; or ``normalize=False`` for an export, which gives only
                unit vectors.
        """
        self._check_lengths(normalize)
        return _gathered(self._iterate(images, self.model.encode_image, progress, normalize), len(images))

    def encode_regions(self, images: Sequence[ImageSource], progress: bool = True) -> np.ndarray:
        """Encodes N images to one vector per entity, in the order of ``tags``: (N, E, D).

        Raises:
            InputError: the model has no entities, or an image cannot be read.
        """
        return _gathered(self.iterate_images(images, regions=True, progress=progress), len(images))

    def encode_images_and_regions(self, images: Sequence[ImageSource], progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Encodes N images to (N, D) and (N, E, D), reading each image once.

        Raises:
            InputError: the model has no entities, or an image cannot be read.
        """
        self._check_regions()
        both = _gathered(self._iterate(images, self._image_and_regions, progress), len(images))
        return both[:, 0], both[:, 1:]

    def iterate_images(
        self, images: Sequence[ImageSource], *, regions: bool = False, progress: bool = True
    ) -> Iterator[np.ndarray]:
        """Yields vectors in order, (B, D) or (B, E, D) per batch, for data that do not fit into memory at once."""
        if regions:
            self._check_regions()
        return self._iterate(images, self.model.encode_regions if regions else self.model.encode_image, progress)

    def _check_lengths(self, normalize: bool) -> None:
        if not normalize and getattr(self.model, "unit_length", False):
            raise InputError(
                f"{self.info['path']} gives vectors of unit length; give the checkpoint that it was exported from"
            )

    def _check_regions(self) -> None:
        if not self.tags:
            raise InputError(f"{self.info['path']} has no regions; they need a model trained by `e2 train --method e2`")

    def _image_and_regions(self, photos: Photos) -> Tensor:
        """Image embedding followed by the region embeddings: B photos -> (B, 1 + E, D)."""
        reading = self.model.read(photos)
        return torch.cat([reading.image.unsqueeze(1), reading.regions], dim=1)

    def _iterate(
        self, images: Sequence[ImageSource], encode: Callable[[Any], Tensor], progress: bool, normalize: bool = True
    ) -> Iterator[np.ndarray]:
        shares = list(shared_batches(len(images), self.batch_size, alone=self._alone))
        batches = zip(self.photo_batches(images, [own for own, _ in shares]), shares, strict=True)
        for photos, (_, size) in with_progress(batches, "Images", len(shares), progress):
            yield self._vectors(encode, photos.to(self.device, non_blocking=True), size, normalize)

    def photo_batches(self, images: Sequence[ImageSource], rows: Sequence[Sequence[int]]) -> Iterator[Photos]:
        """Yields the images of each batch of ``rows`` as the model reads them."""
        if self.cached is not None and isinstance(images, ProductImages):
            return self.cached.batches(images, rows)
        pin = self.device.type == "cuda"
        return image_batches(images, self.preprocess, self.batch_size, self.workers, rows=rows, pin=pin)

    def encode_texts(self, texts: Sequence[str], progress: bool = True, *, normalize: bool = True) -> np.ndarray:
        """Encodes N texts, (N, D): sorted by length, and each batch cut to its longest text if that changes nothing.

        Args:
            texts: N texts.
            progress: show a bar.
            normalize: as for `encode_images`.

        Raises:
            InputError: no texts; or ``normalize=False`` for an export, which gives only unit vectors.
        """
        self._check_lengths(normalize)
        if not texts:
            raise InputError("there are no texts to encode")
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # characters go well enough with tokens
        clip = self.text_tower
        shares = list(shared_batches(len(texts), self.batch_size, alone=self._alone))
        vectors, done = np.empty((0, 0), dtype=np.float32), 0
        for own, size in with_progress(shares, "Texts", len(shares), progress):
            tokens = cut_to_longest(clip, self.tokenizer([texts[order[rank]] for rank in own]))
            batch = self._vectors(lambda ids: encode_text(clip, ids), tokens.to(self.device), size, normalize)
            if not done:
                vectors = np.empty((len(texts), *batch.shape[1:]), dtype=np.float32)
            vectors[order[done : done + size]] = batch
            done += size
        return vectors

    def truncated(self, texts: Sequence[str]) -> int:
        """Counts the texts that lose words at the context length: one more token would change what the model sees."""
        return sum(truncated(self.tokenizer, texts[start : start + 1024]) for start in range(0, len(texts), 1024))

    def text_keys(self, texts: Sequence[str]) -> list[int]:
        """Hashes what the model sees of each text: equal for texts that its tokenizer makes equal."""
        parts = (self.tokenizer(list(texts[start : start + 1024])) for start in range(0, len(texts), 1024))
        return [key for tokens in parts for key in text_keys(tokens).tolist()]

    def autocast(self, *, pytorch_attention: bool = False) -> contextlib.AbstractContextManager[None]:
        """Context in which the model computes in this encoder's precision.

        Args:
            pytorch_attention: always by PyTorch's own functions, for those who watch them.
        """
        return computing_in(self.dtype, self.device, pytorch_attention=pytorch_attention)

    # --- for methods that look inside ---------------------------------------------------------------------------

    def pixels(self, images: Sequence[ImageSource]) -> Iterator[Tensor]:
        """Yields photos as the image tower reads them: (B, 3, H, W) on the encoder's device."""
        for batch in image_batches(images, self.preprocess, self.batch_size, self.workers):
            yield batch.to(self.device)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) -> (B, D), not normalised; gradients flow."""
        return self.model.encode_image(pixels)

    def select(self, pixels: Tensor) -> dict[str, dict[int, Tensor]]:
        """Patches that each token chose: entity -> {fusion layer: weights (B, k, rows, columns)}; none without tokens.

        Raises:
            InputError: an export, whose graphs lack them.
        """
        with torch.inference_mode(), self.autocast():
            return self.model.selections(pixels)

    def selections(self, images: Sequence[ImageSource]) -> dict[str, dict[int, np.ndarray]]:
        """Selections of a few images."""
        (pixels,) = image_batches(images, self.preprocess, len(images), workers=0)
        return {
            entity: {layer: weights.float().cpu().numpy() for layer, weights in layers.items()}
            for entity, layers in self.select(pixels.to(self.device)).items()
        }

    @property
    def selects(self) -> bool:
        """True if it has selection tokens and their selections; graphs of an export have none."""
        return bool(self.tags) and hasattr(self.model, "selections")

    @property
    def image_tower(self) -> Tower:
        """View of its ViT.

        Raises:
            InputError: the image tower is not a ViT that E2 can read.
        """
        return open_tower(self.model.visual)

    @property
    def tokens_first(self) -> bool:
        """True if selection tokens precede the class token (the published layout) rather than follow the patches."""
        return getattr(getattr(self.model, "config", None), "reader", None) == "paper"

    @property
    def text_tower(self) -> OpenClip:
        """The open_clip model that reads its texts, for vectors in place of words."""
        return getattr(self.model, "clip", self.model)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """Resizing of photos: ``size`` and ``resize_mode`` of open_clip's image transform.

        Raises:
            InputError: it has no record of it.
        """
        config = getattr(getattr(self.model, "visual", None), "preprocess_cfg", None)
        if not config:
            raise InputError(f"{self.info['path']} does not say how it resizes photos, so boxes cannot be mapped to its input")
        return config

    @property
    def num_parameters(self) -> dict[str, int]:
        """Numbers of weights of the backbone (``parameters``) and of E2's additions (``added_parameters``)."""
        total, backbone = (sum(p.numel() for p in model.parameters()) for model in (self.model, self.text_tower))
        return {"parameters": backbone, "added_parameters": total - backbone}

    @property
    def weight_bytes(self) -> int:
        """Size of all weights: in memory, or of an export's graphs."""
        graphs = getattr(self.model, "graph_bytes", 0)
        return graphs + sum(p.numel() * p.element_size() for p in self.model.parameters())

    def load_weights(self, weights: dict[str, Tensor], origin: Path) -> None:
        """Loads the weights of a checkpoint of the same architecture, from ``origin``.

        Raises:
            InputError: they do not fit.
        """
        fill(self.model, weights, origin)
        if self.cached is not None:
            self.cached.forget()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Lets gradients flow through the model without computing them for its weights."""
        learning = [p for p in self.model.parameters() if p.requires_grad]
        for p in learning:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in learning:
                p.requires_grad_(True)

    @torch.inference_mode()
    def _vectors(self, encode: Callable[[Any], Tensor], batch: Photos, size: int, normalize: bool) -> np.ndarray:
        """Encodes the ``size`` rows of which ``batch`` is this process's share.

        Raises:
            NotFinite: NaN or infinity among them.
        """
        with self.autocast():
            features = encode(batch).float()
        vectors = F.normalize(features, dim=-1) if normalize else features
        found = (vectors if self._alone else gather_rows(vectors, size)).cpu().numpy()
        require_finite(found, f"vectors of {self.info['path']}")
        return found


def load_encoder(name: str | Path, **options: Any) -> Encoder:
    """Loads an encoder by name.

    Args:
        name: an E2 checkpoint folder or a weights file in it (``RUN/last.safetensors``), ``open_clip:MODEL/PRETRAINED`` (a
            weights tag, may download, a local file or a folder with weights), ``open_clip:MODEL`` (random weights, which its
            ``info`` says), ``local-dir:FOLDER`` (open_clip's configuration and weights), ``transformers:FOLDER`` (a CLIP or
            SigLIP of transformers, e.g. FashionCLIP), ``pair:IMAGE+TEXT`` (towers of different models), ``onnx:FOLDER`` or
            ``onnx-int8:FOLDER`` (the graphs of `e2 export --format onnx`), or ``hf-hub:ORG/NAME`` with an E2 checkpoint or a
            model of open_clip or transformers.
        options: ``device``, ``precision``, ``batch_size``, ``workers``, ``cache`` of :class:`Encoder`.

    Raises:
        InputError: unknown name or option, damaged files, no network.

    Example:
        >>> load_encoder("open_clip:e2-nano", device="cpu").encode_texts(["a red dress"]).shape
        (1, 128)
    """
    return Encoder(**{**options, **encoder_parts(str(name), options)})


def images_and_regions(encoder: Encoder, images: Sequence[ImageSource]) -> tuple[np.ndarray, np.ndarray | None]:
    """Encodes N images to (N, D) and, if the model has entities, (N, E, D), reading each image once."""
    return encoder.encode_images_and_regions(images) if encoder.tags else (encoder.encode_images(images), None)


def _gathered(batches: Iterator[np.ndarray], total: int) -> np.ndarray:
    """Collects all batches in one array, written in place: joining them would double the memory."""
    vectors, start = np.empty((0, 0), dtype=np.float32), 0
    for batch in batches:
        if not start:
            vectors = np.empty((total, *batch.shape[1:]), dtype=np.float32)
        vectors[start : start + len(batch)] = batch
        start += len(batch)
    return vectors
