"""A frozen tower's activations on disk: written once per photo and view, then read in every epoch and by every run.

``DIR/KEY/view-0/stream-8/00012.safetensors`` holds half-precision rows of a few hundred photos. The key stands for all that
the numbers depend on (weights, transform, precision, products), and each kind of activation has its own files, so runs that
differ in method, seed or depth share them. Safe to delete.
"""

import json
import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from e2.activations import Activations
from e2.checkpoint import tensors_sha256
from e2.data.cache import key
from e2.data.fingerprint import photo_digest
from e2.data.photo_views import PhotoViews, blank
from e2.data.transforms import PhotoTransform
from e2.errors import InputError
from e2.files import atomic_path
from e2.front import Front
from e2.model import E2
from e2.modes import in_mode
from e2.towers import open_tower

SHARD = 256  # photos a file
MOST_OPEN = 256  # files kept open
FOUND = "found"  # whether a photo could be read


@dataclass
class TowerCache:
    """Activations by (view, photo); the loader's processes get it pickled.

    Attributes:
        folder: of one key.
        shapes: kind of activation -> shape of one photo's.
        photos, views: numbers of.
        transform: normalises kept pixels.
    """

    folder: Path
    shapes: dict[str, tuple[int, ...]]
    photos: int
    views: int
    transform: PhotoTransform
    _slices: OrderedDict[Path, Any] = field(default_factory=OrderedDict, repr=False)

    def found(self, view: int, row: int) -> bool:
        """Tells whether a photo could be read when the cache was written."""
        return bool(self._row(view, FOUND, row))

    def read(self, view: int, row: int) -> Activations:
        """One photo's activations, without batch dimension; a blank picture's if it could not be read."""
        rows = {name: self._row(view, name, row) for name in self.shapes}
        if "pixels" in rows:
            rows["pixels"] = self.transform.normalised(rows["pixels"])
        return Activations.of(rows)

    def missing(self, rank: int = 0, world: int = 1) -> list[tuple[int, int]]:
        """(view, shard) of what is yet to be written of a process's share, which is the same whatever others have written."""
        shards = [(view, shard) for view in range(self.views) for shard in range(math.ceil(self.photos / SHARD))]
        kinds = (*self.shapes, FOUND)
        return [where for where in shards[rank::world] if not all(self.file(*where, kind).exists() for kind in kinds)]

    def file(self, view: int, shard: int, name: str) -> Path:
        """File of one kind of activation."""
        return self.folder / f"view-{view}" / name / f"{shard:05d}.safetensors"

    def rows(self, shard: int) -> range:
        """Photos of a shard."""
        return range(shard * SHARD, min((shard + 1) * SHARD, self.photos))

    def bytes_a_photo(self) -> int:
        """Bytes that one view of one photo takes."""
        return sum(math.prod(shape) * (1 if name == "pixels" else 2) for name, shape in self.shapes.items())

    def _row(self, view: int, name: str, row: int) -> Tensor:
        shard, place = divmod(row, SHARD)
        path = self.file(view, shard, name)
        if path not in self._slices:
            try:
                self._slices[path] = safe_open(path, "pt").get_slice("rows")
            except Exception as error:  # safetensors' own, or the system's
                raise InputError(f"{path} is damaged or gone; remove it and start again") from error
            if len(self._slices) > MOST_OPEN:
                self._slices.popitem(last=False)
        self._slices.move_to_end(path)
        return self._slices[path][place]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_slices": OrderedDict()}


def open_cache(root: Path, model: E2, front: Front, photos: PhotoViews, *, views: int, precision: str) -> TowerCache:
    """Opens the cache of a model's frozen front over a catalogue's photos, which may be empty or written in part.

    Raises:
        InputError: the tower draws random numbers, so that no activation is a photo's own.
    """
    require_fixed(model, front)
    facts = {
        "weights": tensors_sha256(_frozen(model)),
        "transform": repr(photos.transform),
        "products": photo_digest(photos.catalogue),
        "precision": precision,
    }
    folder = root / key(facts)
    with atomic_path(folder / "cache.json", cache=True) as path:  # tells a person what the folder belongs to
        path.write_text(json.dumps({"catalogue": photos.catalogue.name, **facts}, indent=2) + "\n")
    _, height, width = blank(photos.transform).shape
    shapes = front.fields(open_tower(model.visual), (height, width))
    return TowerCache(folder, shapes, len(photos), views, photos.transform)


def _frozen(model: E2) -> dict[str, Tensor]:
    """Weights and buffers of the image tower that do not learn."""
    learning = {name for name, p in model.visual.named_parameters() if p.requires_grad}
    return {name: tensor for name, tensor in model.visual.state_dict().items() if name not in learning}


def require_fixed(model: E2, front: Front) -> None:
    """Refuses a front that drops patches or units at random although it is frozen.

    Raises:
        InputError: it does.
    """
    with in_mode(model, training=True):
        drops = next(_dropping(model, front), None)
    if drops is not None:
        raise InputError(f"--cache: the image tower drops parts at random ({drops}); set that to 0, or leave out --cache")


def _dropping(model: E2, front: Front) -> Iterator[str]:
    """Yields the names of modules of the front that drop parts at random in the model's present mode."""
    tower = open_tower(model.visual)
    behind = {id(module) for block in tower.blocks[front.blocks :] for module in block.modules()}
    for name, module in model.visual.named_modules():
        chances = (getattr(module, each, None) for each in ("p", "drop_prob", "prob"))
        if module.training and id(module) not in behind and any(isinstance(x, float) and x > 0 for x in chances):
            yield name
