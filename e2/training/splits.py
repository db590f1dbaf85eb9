"""Opens a run's products: those to train on, those that choose the checkpoint, and those that are only measured."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc

from e2.config import DataConfig, TrainConfig
from e2.counting import counted
from e2.data import ArrowCatalogue, Catalogue, Columns, Subset, open_catalogue, splits_of
from e2.data.loader import DESCRIPTION
from e2.data.mixture import Mixture
from e2.data.shard_order import few_shards_first
from e2.distributed import processes
from e2.errors import InputError
from e2.notes import say
from e2.settings import merged

HELD_OUT, MOST_HELD_OUT = 0.05, 2000  # share of the train products, if a catalogue has no val split


def with_data(config: TrainConfig, most_photos: int | None = None) -> tuple[TrainConfig, Catalogue, Catalogue]:
    """Opens the data; returns the configuration, with the tags of a source that knows its own, and both splits."""
    train_data, val_data = open_splits(config, most_photos)
    if not config.data.tags and train_data.tags:
        config = merged(config, {"data": {"tags": train_data.tags}})
    return config, train_data, val_data


def data_columns(data: DataConfig) -> Columns:
    """Columns of a run's tables."""
    names = (data.image_column, data.caption_column, data.id_column)
    return Columns(*names, data.tag_columns, data.delimiter, data.encoding, data.missing_values)


def open_splits(config: TrainConfig, most_photos: int | None = None) -> tuple[Catalogue, Catalogue]:
    """Returns the training products, of further catalogues too, and those that choose the checkpoint, of ``data.data`` alone.

    ``most_photos``: the photos of this many rows, the first ones, are checked; None: all.

    Raises:
        InputError: no such data, unusable rows, or an entity that no catalogue has.
    """
    train_data, val_data = open_first(config, most_photos)
    if not config.data.more:
        return train_data, val_data
    data = dataclasses.replace(config.data, tags=config.data.tags or train_data.tags)
    further = [open_split(data, spec, training_split(splits_of(spec)), most_photos) for spec in data.more]
    require_tags([train_data, *further], data.tags)
    return Mixture([train_data, *further], [1.0, *data.more.values()]), val_data


def require_tags(catalogues: Sequence[Catalogue], entities: Sequence[str]) -> None:
    """Says which entities each of several catalogues lacks; refuses those that all of them lack."""
    there = {tag for catalogue in catalogues for tag in catalogue.tags} | {DESCRIPTION}
    names = [catalogue.name for catalogue in catalogues]
    for tag in entities:
        if tag not in there:
            raise InputError(f"{', '.join(names)}: no column {tag!r} in any of them; name the right one by --tags")
    for catalogue in catalogues if processes().is_main_process else ():
        if lacking := [tag for tag in entities if tag in there - {*catalogue.tags, DESCRIPTION}]:
            say(f"{catalogue.name}: no {', '.join(lacking)}; its products go without")


def training_split(splits: Sequence[str]) -> str:
    """The split to train on: train, else the first."""
    return "train" if "train" in splits else splits[0]


def open_first(config: TrainConfig, most_photos: int | None = None) -> tuple[Catalogue, Catalogue]:
    """Returns the training products of ``data.data``, and those that choose the checkpoint.

    Without a val split it gives up 5 % of its train products (at most 2,000), chosen by the seed.
    """
    data = config.data
    splits = splits_of(data.data)
    train_data = open_split(data, data.data, training_split(splits), most_photos)
    if "val" in splits:
        val_data = open_split(data, data.data, "val", most_photos)
        warn_of_shared(train_data, val_data)
        return train_data, val_data
    if len(train_data) < 3:
        raise InputError(
            f"{data.data}: {counted(len(train_data), 'product')}, one of which would be held out to choose the checkpoint; "
            "training needs at least 3, or a val split of its own"
        )
    draw = np.random.default_rng(config.seed)
    order = few_shards_first(train_data, draw.permutation(len(train_data)), draw)
    held_out = min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(train_data))))
    return Subset(train_data, np.sort(order[held_out:])), Subset(train_data, np.sort(order[:held_out]))


def warn_of_shared(train_data: ArrowCatalogue, val_data: ArrowCatalogue) -> None:
    """Says how many ids of the val split are in the training split, too."""
    shared = pc.sum(pc.is_in(val_data.ids(), train_data.ids())).as_py()
    if shared and processes().is_main_process:
        of = f"{shared:,} of {len(val_data):,} ids of {val_data.split} are in {train_data.split}, too"
        say(f"{val_data.name}: {of}; where they are the same products, what validates was trained on and scores too well")


def open_second(config: TrainConfig, most_photos: int | None = None) -> Catalogue | None:
    """Returns the products of the second catalogue, if there is one: its val split, else its last."""
    if (spec := config.data.second) is None:
        return None
    splits = splits_of(spec)
    return open_split(config.data, spec, "val" if "val" in splits else splits[-1], most_photos)


def open_split(data: DataConfig, spec: str, name: str, most_photos: int | None) -> ArrowCatalogue:
    """Opens a split of a catalogue with a run's columns and tags."""
    # ``description`` is not a column but the product's own text, unless mapped to another column.
    tags = [tag for tag in data.tags if tag != DESCRIPTION or data.tag_columns.get(tag, tag) != DESCRIPTION]
    return open_catalogue(
        spec,
        name,
        tags=tags if data.tags else None,
        columns=data_columns(data),
        on_bad_row=data.on_bad_row,
        progress=processes().is_main_process,  # report left-out rows once only
        most_photos=most_photos,
        together=True,
        absent_tags=bool(data.more),
        shard_cache=data.shard_cache,
    )
