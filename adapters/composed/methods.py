"""All methods by name: makes, fits and loads composers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.composed.base import Composer
from e2.adapters.composed.baselines import ImageOnly, RawSum, Slerp, Sum, TextOnly
from e2.adapters.composed.cirevl import CIReVL
from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.lincir import LinCIR, fit_lincir
from e2.adapters.composed.mappings import MAPPINGS
from e2.adapters.composed.oti import OtiConfig
from e2.adapters.composed.phrases import Phrases, phrases_of
from e2.adapters.composed.pic2word import Pic2Word, fit_pic2word
from e2.adapters.composed.pseudo_word import PseudoWordComposer
from e2.adapters.composed.reference_captions import captions_of
from e2.adapters.composed.searle import Searle, SearleOti, fit_searle
from e2.adapters.composed.settings import composer_options, parse_options
from e2.adapters.composed.slots import SlotFilling, calibrated_slots
from e2.adapters.composed.sources import captions_in, catalogue_options, rewriter_of, vocabulary_of
from e2.adapters.composed.store import COMPOSER, ComposerRecord, load_mapping, read_record, save_composer
from e2.adapters.encoder import Encoder
from e2.adapters.encoder_paths import check_noted, load_noted, noted
from e2.adapters.product_images import ProductImages
from e2.data.product import Catalogue, is_catalogue
from e2.errors import InputError, require_choice
from e2.outputs import claim

METHODS: dict[str, type[Composer]] = {
    method.name: method
    for method in (ImageOnly, TextOnly, Sum, RawSum, Slerp, Pic2Word, Searle, SearleOti, LinCIR, CIReVL, SlotFilling)
}
FITTED = ("lincir", "pic2word", "searle", "slots")  # methods of `fit_composer`, the default first
SEARLE_PHOTOS = 4096  # default number of photos to invert


def make_composer(name: str, encoder: Encoder, /, *, path: str | Path | None = None, **options: Any) -> Composer:
    """Makes a composer by name.

    Args:
        name: one of `METHODS`.
        encoder: any.
        path: folder of a fitted one.
        options: of the method, e.g. ``preset``, ``text_weight``; ``captions``, ``rewriter`` and the rewriter's options for
            ``cirevl``; ``vocabulary`` for ``slots``; ``phrases`` for ``searle-oti``. Strings are read by
            ``captions_of``, ``rewriter_of``, ``vocabulary_of`` and ``phrases_of``.

    Raises:
        InputError: unknown method or option, a missing requirement, or a folder of another method or encoder.
    """
    require_choice("method", name, METHODS)
    method = METHODS[name]
    if path is not None:
        composer = load_composer(path, encoder, **options)
        if composer.name != name:
            raise InputError(f"{path} holds a fitted {composer.name}, not {name}")
        return composer
    if method.trained:
        raise InputError(f"{name} has to be fitted first: e2 compose fit --method {name} --encoder ... --data ... --out DIR")
    return method(encoder, **_resolved(name, encoder, composer_options(method, options)))


def load_composer(path: str | Path, encoder: Encoder | None = None, /, **options: Any) -> Composer:
    """Loads a fitted composer.

    Args:
        path: the folder that `fit_composer` wrote.
        encoder: the one it was fitted on; None = found automatically, see `load_noted`.
        options: as for `make_composer`.

    Raises:
        InputError: no composer, a damaged one, or another encoder.
    """
    record = read_record(path)
    require_choice("method", record.method, METHODS)
    method = METHODS[record.method]
    encoder = encoder or load_noted(record.encoder, Path(path), str(path))
    check_noted(record.encoder, encoder, str(path), "give that one, or fit one for it by e2 compose fit")
    options = composer_options(method, options)
    if issubclass(method, PseudoWordComposer):
        origin = {"composer": str(path), "feature_norm": record.feature_norm}
        return method(encoder, mapping=load_mapping(path, record), input=record.input, origin=origin, **options)
    return method(encoder, **_resolved(record.method, encoder, {**record.settings, **options}))


def start_search(
    encoder: Encoder,
    method: str | None,
    folder: Path | None,
    catalogue: Catalogue | None,
    settings: Sequence[str] = (),
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> Composer:
    """Makes the composer of a command; unset requirements come from the searched catalogue.

    Args:
        encoder: any.
        method: its name; None: that of ``folder``.
        folder: a fitted composer's.
        catalogue: searched catalogue, if available.
        settings: ``KEY=VALUE`` options.
        vocabulary: entity -> values of the tags of a searched index.

    Raises:
        InputError: neither method nor folder, or what `make_composer` refuses.
    """
    options = parse_options(settings)
    if method is None:
        if folder is None:
            raise InputError("choose how to compose: --method image, text, sum, slerp, cirevl or slots, or --composer DIR")
        return load_composer(folder, encoder, **options)
    if folder is not None:
        return make_composer(method, encoder, path=folder, **options)
    return make_composer(method, encoder, **catalogue_options(method, options, catalogue, vocabulary))


def fit_composer(
    name: str,
    encoder: Encoder,
    data: Catalogue | Sequence[str],
    out: str | Path,
    *,
    config: FitConfig | None = None,
    oti: OtiConfig | None = None,
    phrases: Phrases | str | Path | None = None,
    photos: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Composer:
    """Fits a composer and writes it to a folder.

    Args:
        name: lincir (texts only), pic2word (photos only), searle (photos and phrases) or slots (a tagged catalogue).
        encoder: the only encoder that it is for.
        data: one split; for lincir, texts suffice.
        out: the folder.
        config: of the training.
        oti: of SEARLE's inversion.
        phrases: of SEARLE; see :func:`e2.adapters.composed.phrases.phrases_of`.
        photos: number of products whose first photos are used, chosen by the seed; None = all, for searle 4,096.
        overwrite: replace an earlier composer.
        progress: show bars.

    Raises:
        InputError: a method without fitting, too little data, or a non-empty folder.
    """
    require_choice("method", name, METHODS)
    if name not in FITTED:
        raise InputError(f"{name} is not fitted; choose {', '.join(FITTED)}")
    claim(Path(out), COMPOSER, overwrite=overwrite, remove=False)  # before any work is done
    config = config or FitConfig()
    if name == "slots":
        composer, settings, reading = calibrated_slots(encoder, _catalogue(data, name))
        mapping, network, norm, training = None, {}, 0.0, {"reading": reading}
    else:
        mapping, training, norm = _fitted(name, encoder, data, config, oti, phrases, photos, progress)
        kind = next(kind for kind, network in MAPPINGS.items() if isinstance(mapping, network))
        network = {"kind": kind, **mapping.options}
        settings = asdict(config) | ({"oti": asdict(oti or OtiConfig())} if name == "searle" else {})
    record = ComposerRecord(name, network, noted(encoder.info, Path(out)), config.input, norm, settings, training)
    save_composer(out, record, mapping, overwrite=overwrite)
    return composer if mapping is None else load_composer(out, encoder)


def _fitted(name, encoder, data, config, oti, phrases, photos, progress):
    """Returns the mapping, the training's record, and the mean length of the features."""
    if name == "lincir":
        texts = captions_in(data) if is_catalogue(data) else data
        return fit_lincir(encoder, texts, config, progress=progress)
    catalogue = _catalogue(data, name)
    features, norm = _photo_features(encoder, catalogue, config, photos or (SEARLE_PHOTOS if name == "searle" else None))
    if name == "pic2word":
        return *fit_pic2word(encoder, features, config, progress=progress), norm
    found = phrases_of(phrases, captions_in(catalogue))
    return *fit_searle(encoder, features, found, config, oti, progress=progress), norm


def _photo_features(encoder: Encoder, catalogue: Catalogue, config: FitConfig, photos: int | None) -> tuple[np.ndarray, float]:
    """Computes the mapping's input (N, D) once, and the mean length of raw features."""
    rows = np.random.default_rng(config.seed).permutation(len(catalogue))[:photos]
    features = encoder.encode_images(ProductImages.first(catalogue, rows), normalize=False)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return (features if config.input == "raw" else features / lengths), float(lengths.mean())


def _catalogue(data: Catalogue | Sequence[str], name: str) -> Catalogue:
    if not is_catalogue(data):
        raise InputError(f"{name} is fitted on a catalogue, not on texts alone; lincir is the method that needs texts only")
    return data


def _resolved(name: str, encoder: Encoder, options: dict[str, Any]) -> dict[str, Any]:
    """Builds the options of a method that are given by name."""
    if name == "cirevl":
        own = {key: options[key] for key in ("preset",) if key in options}
        rest = {key: value for key, value in options.items() if key not in ("preset", "captions", "rewriter")}
        captions = captions_of(_needed(name, options, "captions"), encoder)
        return own | {"captions": captions, "rewriter": rewriter_of(options.get("rewriter", "rules"), **rest)}
    if name == "slots":
        return options | {"vocabulary": vocabulary_of(_needed(name, options, "vocabulary"))}
    if name == "searle-oti":
        return options | {"phrases": phrases_of(_needed(name, options, "phrases"), [])}
    return options


def _needed(name: str, options: dict[str, Any], key: str) -> Any:
    if key not in options:
        raise InputError(f"{name} needs {key}; see make_composer, or on the command line e2 compose search --help")
    return options[key]
