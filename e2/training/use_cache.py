"""Runs a run's frozen layers once: fills the cache (``--cache``), from which it then trains and validates."""

from pathlib import Path

from e2.errors import InputError
from e2.frozen_texts import FrozenTexts
from e2.text_front import text_front
from e2.training.fill_cache import read_from_cache
from e2.training.fill_texts import fill_texts, texts_of
from e2.training.prepare import Run
from e2.training.step import as_encoders_compute, precision


def use_cache(run: Run, root: Path) -> None:
    """Lets the frozen layers run once per photo: fills the cache, then trains and validates from it.

    Raises:
        InputError: nothing is frozen, sharded weights, or a cache that cannot be written.
        LostPhoto: a photo cannot be read and may not be left out.
    """
    if run.sharded:
        raise InputError("--cache: frozen layers run before the training, so they need no sharding; leave out FSDP or --cache")
    front, texts = run.method.front(), text_front(run.model.clip) if run.method.packs_texts else None
    if not (front.blocks or texts):
        raise InputError(
            "--cache keeps what frozen layers give, and here the first layers learn, or the tokens reach them: set "
            "optim.image_layers (0 = train none of the image tower) or optim.text_layers, and leave model.attention and "
            "model.reader as they are"
        )
    for pictures, views in ((run.views.fixed, run.views.views), (run.val.photos, 1)) if front.blocks else ():
        assert pictures is not None and views is not None  # the settings say so
        read_from_cache(
            pictures,
            root,
            run.model,
            front,
            views=views,
            precision=run.config.precision,
            workers=run.config.data.workers,
            context=lambda: as_encoders_compute(run),
        )
    if texts:
        run.method.frozen_texts = FrozenTexts(texts)
        with precision(run):
            fill_texts(run.method.frozen_texts, root, texts_of(run.views), run.tokenizer, run.config.precision)
