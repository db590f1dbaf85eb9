"""From what the command line names to a service that answers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.adapters.captioning import load_captioner
from e2.adapters.captioning.captioner import Captioner
from e2.adapters.composed.methods import load_composer
from e2.adapters.encoder import Encoder
from e2.adapters.search.app.demo import make_demo
from e2.adapters.search.app.models import Models
from e2.adapters.search.app.service import SearchService
from e2.adapters.search.index import ProductIndex, encoder_of, open_index
from e2.adapters.search.queries import vocabulary_of


def start_service(
    index: str | None,
    encoder: str | None = None,
    captioner: Path | None = None,
    composers: Sequence[Path] = (),
    *,
    demo_folder: Path,
    **encoder_options: Any,
) -> SearchService:
    """Loads everything that the app asks.

    Args:
        index: path or URI; None = the demo.
        encoder: that of the index; None = loaded from where it lay when the index was built, or made by the demo.
        captioner: folder; None = the demo's, or no captions.
        composers: folders of fitted composers.
        demo_folder: where the demo is kept.
        encoder_options: of `load_encoder`.

    Raises:
        InputError: something is missing, or does not belong to the encoder.
    """
    if index is None:
        demo = make_demo(demo_folder, encoder, captioner, **encoder_options)
        return service_of(open_index(demo.index, demo.encoder), demo.encoder, demo.captioner, composers, str(demo.index))
    loaded = encoder_of(index, encoder, **encoder_options)
    described = load_captioner(captioner, loaded) if captioner else None
    return service_of(open_index(index, loaded), loaded, described, composers, index)


def service_of(
    index: ProductIndex,
    encoder: Encoder,
    captioner: Captioner | None,
    composers: Sequence[Path] = (),
    place: str | None = None,
) -> SearchService:
    """A service over what is loaded; tags are read from the values that the index's products carry."""
    fitted = [load_composer(folder, encoder) for folder in composers]
    return SearchService(index, Models(encoder, vocabulary_of(index), captioner, fitted), place=place)
