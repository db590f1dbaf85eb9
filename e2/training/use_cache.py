"""Runs a run's frozen layers once: fills the cache (``--cache``), from which it then trains and validates."""

from pathlib import Path

from e2.errors import InputError
from e2.frozen_texts import FrozenTexts, text_tower_is_frozen
from e2.training.fill_cache import CacheFiller
from e2.training.fill_texts import fill_texts, texts_of
from e2.training.prepare import Run
from e2.training.step import precision
from e2.training.tower_cache import open_cache


def use_cache(run: Run, root: Path) -> None:
    """Lets the frozen layers run once per photo: fills the cache, then trains and validates from it.

    Raises:
        InputError: nothing is frozen, sharded weights, or a cache that cannot be written.
        LostPhoto: a photo cannot be read and may not be left out.
    """
    if run.sharded:
        raise InputError("--cache: frozen layers run before the training, so they need no sharding; leave out FSDP or --cache")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache {root}: cannot be written ({error.strerror}); name another folder") from error
    front, texts = run.method.front(), text_tower_is_frozen(run.model.clip)
    if not (front.blocks or texts):
        raise InputError(
            "--cache keeps what frozen layers give, and here the first layers learn, or the tokens reach them: set "
            "optim.image_layers (0 = train none of the image tower), and leave model.attention and model.reader as they are"
        )
    for pictures, views in ((run.views, run.views.views or 1), (run.val, 1)) if front.blocks else ():
        cache = open_cache(root, run.model, front, pictures, views=views, precision=run.config.precision)
        CacheFiller(cache, pictures, run.model, front, run.config.data.workers, lambda: precision(run)).fill()
        pictures.cache = cache
    if texts:
        run.method.frozen_texts = FrozenTexts(run.model.clip)
        with precision(run):
            fill_texts(run.method.frozen_texts, root, texts_of(run.views), run.tokenizer, run.config.precision)
