"""Builds the service that the command line asks for."""

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
from e2.adapters.search.reranking.base import Reranker


def start_service(
    index: str | None,
    encoder: str | None = None,
    captioner: Path | None = None,
    composers: Sequence[Path] = (),
    *,
    demo_folder: Path,
    reranker: Reranker | None = None,
    **encoder_options: Any,
) -> SearchService:
    """Loads everything that the app needs.

    Args:
        index: path or URI; None = the demo.
        encoder: the index's; None = loaded from its recorded path, or made by the demo.
        captioner: folder; None = the demo's, or no captions.
        composers: folders of fitted composers.
        demo_folder: folder of the demo.
        reranker: orders the first hits anew.
        encoder_options: of `load_encoder`.
    """
    if index is None:
        made, describing, folder = make_demo(demo_folder, encoder, captioner, **encoder_options)
        return service_of(open_index(folder, made), made, describing, composers, str(folder), reranker)
    loaded = encoder_of(index, encoder, **encoder_options)
    described = load_captioner(captioner, loaded) if captioner else None
    return service_of(open_index(index, loaded), loaded, described, composers, index, reranker)


def service_of(
    index: ProductIndex,
    encoder: Encoder,
    captioner: Captioner | None,
    composers: Sequence[Path] = (),
    address: str | None = None,
    reranker: Reranker | None = None,
) -> SearchService:
    """Builds a service from loaded parts; tags are read from the values in the index."""
    fitted = [load_composer(folder, encoder) for folder in composers]
    return SearchService(index, Models(encoder, vocabulary_of(index), captioner, fitted), address=address, reranker=reranker)
