"""Reads photos of catalogues from a frozen tower's cache on disk (``--cache``), which training shares."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from e2.activations import Photos, stack_photos
from e2.adapters.product_images import ProductImages
from e2.data.photo_views import PhotoViews
from e2.data.product import Catalogue
from e2.data.transforms import PhotoTransform
from e2.errors import InputError
from e2.foreign import OpenClip
from e2.training.fill_cache import read_from_cache


class CachedPhotos:
    """Photos as the frozen layers of a model's image tower have seen them, kept in half precision.

    Args:
        root: folder of the cache.
        model: on its device, in evaluation mode.
        transform: the model's.
        trained_groups: last groups of the image tower that the model's training changed (``optim.image_layers``): what lies
            before them is shared with that training.
        precision: in which the model computes.
        workers: processes that decode photos.
        context: entered around each pass (autocast).

    Raises:
        InputError: a model whose activations cannot be kept.
    """

    def __init__(
        self,
        root: Path,
        model: OpenClip,
        transform: Callable,
        trained_groups: int,
        *,
        precision: str,
        workers: int,
        context: Callable[[], AbstractContextManager],
    ):
        if not (hasattr(model, "front") and isinstance(transform, PhotoTransform)):
            raise InputError("--cache serves checkpoints and open_clip models, not exported graphs; leave it out")
        self.root, self.model, self.transform, self.trained_groups = root, model, transform, trained_groups
        self.precision, self.workers, self.context = precision, workers, context
        self._opened: list[PhotoViews] = []

    def batches(self, images: ProductImages, rows: Sequence[Sequence[int]]) -> Iterator[Photos]:
        """Yields the images of each batch of ``rows``; the catalogue's photos run through the frozen layers first.

        Raises:
            InputError: a photo that cannot be read, or a cache that cannot be written.
        """
        pictures, lost = self._of(images.catalogue), list[str]()
        for batch in rows:
            photos = [pictures.read(0, int(images.products[i]), int(images.indices[i]), lost) for i in batch]
            if lost:  # by a training that may leave photos out
                raise InputError(lost[0])
            yield stack_photos([photo for photo in photos if photo is not None])

    def forget(self) -> None:
        """Opens the cache anew at the next use, as other weights of the model may have one of their own."""
        self._opened.clear()

    def _of(self, catalogue: Catalogue) -> PhotoViews:
        for pictures in self._opened:
            if pictures.catalogue is catalogue:
                return pictures
        pictures = PhotoViews(catalogue, self.transform)
        self._fill(pictures)
        self._opened.append(pictures)
        return pictures

    def _fill(self, pictures: PhotoViews) -> None:
        before = [(p, p.requires_grad) for p in self.model.parameters()]
        try:
            self.model.lock_image_tower(self.trained_groups)
            front = self.model.front()
            if not front.blocks:
                raise InputError("--cache: this model's tokens reach the image tower's first layer, so nothing can be kept")
            read_from_cache(
                pictures,
                self.root,
                self.model,
                front,
                views=1,
                precision=self.precision,
                workers=self.workers,
                context=self.context,
            )
        finally:
            for p, learns in before:
                p.requires_grad_(learns)
