"""Fits a captioner from texts, or from photos and their texts, and an encoder."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2.adapters.captioning.captioner import Captioner
from e2.adapters.captioning.checkpoint import captioner_info, load_captioner, save_captioner
from e2.adapters.captioning.config import CaptionerConfig, default_config
from e2.adapters.captioning.corpus import Corpus, corpus_of_catalogue, corpus_of_texts, held_out
from e2.adapters.captioning.embeddings import embed_photos, embed_texts, readable_photos
from e2.adapters.captioning.model import build_model, new_language_model, pretrained_language_model
from e2.adapters.captioning.noise import (
    add_noise,
    cosine_of_variance,
    variance_of_cosine,
    variance_of_gap,
    variance_of_like_texts,
)
from e2.adapters.captioning.prompt import prompt_text
from e2.adapters.captioning.run_state import FOLDER, require_same_settings
from e2.adapters.captioning.tokenizers import ClipTokenizer, PretrainedTokenizer, SentencePieceTokenizer, Tokenizer, evenly
from e2.adapters.captioning.training import Examples, Trainer, tokenized
from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import TagReader, tag_vocabulary
from e2.checkpoint import CONFIG
from e2.data.fingerprint import fingerprint
from e2.data.product import Catalogue, is_catalogue
from e2.errors import InputError
from e2.files import share
from e2.outputs import OutputKind, claim, record, record_folder

CAPTIONER = OutputKind("a captioner", finished=CONFIG, begun=FOLDER, names=(FOLDER,))
PHOTOS = 500  # labelled photos that give thresholds, gap and offset


@dataclass(frozen=True)
class CalibrationPhotos:
    """A few photos with their catalogue's texts and tags; row by row of the same product."""

    images: np.ndarray  # (N, D)
    regions: np.ndarray | None  # (N, E, D)
    texts: np.ndarray  # (N, D)
    tags: list[dict[str, str]]


def fit_captioner(
    method: str,
    encoder: Encoder,
    texts: Catalogue | Iterable[str],
    out: str | Path,
    *,
    photos: Catalogue | None = None,
    entities: Sequence[str] | None = None,
    name: str = "the list of texts",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Captioner:
    """Fits a captioner on texts alone, or on a catalogue's photos and texts (``paired``), and writes it to a folder.

    Args:
        method: ``decap``, ``capdec`` or ``nearest``.
        encoder: any; it is not changed.
        texts: a catalogue's split, whose photos only ``paired`` uses, or any texts.
        out: the captioner's folder.
        photos: held-out products; a few of their photos are used for tag thresholds (``prompt="tags"``),
            ``calibration="image-gap"`` and ``modality_offset``.
        entities: tags of the prompt; None: all of the catalogue's.
        name: name of the texts in messages.
        resume: continue a stopped fit; a finished captioner is returned as it is.
        overwrite: replace the content of ``out``.
        progress: show bars.
        settings: any of `CaptionerConfig`.

    Raises:
        InputError: invalid settings or texts, or others than those of the fit to resume; nothing is written.
        TrainingStopped: stopped; continue with ``resume``.

    Example:
        >>> fit_captioner("capdec", encoder, ["a red tee", "a blue shirt", ...], "runs/capdec", epochs=10)
    """
    out, config = Path(out), default_config(method, **settings)
    state = claim(out, CAPTIONER, resume=resume, overwrite=overwrite, remove=False)  # before any work is done
    reader = make_reader(encoder, texts, config, entities)
    vocabulary = {} if reader is None else reader.vocabulary
    corpus = corpus_of_catalogue(texts, config.text, vocabulary) if is_catalogue(texts) else corpus_of_texts(texts, name)
    needed = config.prompt == "tags" or config.calibration == "image-gap" or config.modality_offset
    photos = photos if needed else None
    origin = {
        "texts": corpus.fingerprint(),
        "photos": None if photos is None else fingerprint(photos),
        "pairs": fingerprint(texts) if config.paired and is_catalogue(texts) else None,
        "encoder": encoder.info["weights_sha256"],
    }
    if state == "finished":
        return finished_captioner(out, encoder, config, origin)
    embeddings = embed_texts(encoder, corpus.texts, progress=progress)
    pairs = learned_from(corpus, embeddings, texts, encoder, config, progress)
    seen = None if photos is None else look_at(photos, encoder, config, progress)
    notes = {"texts": len(corpus.texts), "rows": len(corpus.rows), "origin": origin}
    captioner = Captioner(encoder, config, tag_reader=reader, training=notes)
    if reader is not None and seen is not None and config.prompt == "tags":
        reader.calibrate(seen.images, seen.regions, seen.tags, precision=config.tag_precision)
    claim(out, CAPTIONER, resume=resume, overwrite=overwrite)
    record_folder(out, CAPTIONER)
    if config.method != "nearest":
        train_decoder(captioner, corpus, pairs, embeddings, seen, out, resume, progress)
    if config.method != "capdec" and not config.paired:
        keep_memory(captioner, corpus, embeddings)
    return write_captioner(captioner, out)


@dataclass(frozen=True)
class Conditions:
    """Vectors that the decoder learns texts from."""

    vectors: np.ndarray  # (V, D)
    rows: np.ndarray  # (R,) vector of each row of the corpus; -1: it has none


def learned_from(
    corpus: Corpus, embeddings: np.ndarray, texts: Any, encoder: Encoder, config: CaptionerConfig, progress: bool
) -> Conditions:
    """Finds what each text is learned from: its own embedding, or the product's first photo's."""
    if not config.paired:
        return Conditions(embeddings, corpus.rows)
    if not is_catalogue(texts):
        raise InputError("paired learns from photos and their texts, and a list of texts has no photos: give a catalogue")
    photos = embed_photos(encoder, texts, embeddings.shape[1], progress=progress)
    rows = np.where(np.isfinite(photos[corpus.products, 0]), corpus.products, -1)
    if (rows >= 0).sum() < 2:
        raise InputError(f"{texts.name} split {texts.split} has fewer than two texts with a readable photo to learn from")
    return Conditions(photos, rows)


def finished_captioner(out: Path, encoder: Encoder, config: CaptionerConfig, origin: dict[str, str | None]) -> Captioner:
    """Loads the captioner of a finished fit, if it was the same fit."""
    captioner = load_captioner(out, encoder)
    require_same_settings(out, asdict(captioner.config) | captioner.training.get("origin", {}), asdict(config) | origin)
    return captioner


def make_reader(encoder: Encoder, texts: Any, config: CaptionerConfig, entities: Sequence[str] | None) -> TagReader | None:
    """Makes the reader of the prompt's tags."""
    if config.prompt == "none" or config.method == "nearest":
        return None
    if not getattr(texts, "tags", ()):
        raise InputError(f"prompt {config.prompt!r} needs the texts' tags: give a catalogue and name its columns by --tags")
    return TagReader(encoder, tag_vocabulary(texts, entities=entities))


def look_at(catalogue: Catalogue, encoder: Encoder, config: CaptionerConfig, progress: bool) -> CalibrationPhotos:
    """Embeds the first photo of up to `PHOTOS` products, chosen by the seed, with their texts; skips bad photos."""
    rows = np.random.default_rng(config.seed).permutation(len(catalogue))[:PHOTOS]
    photos = list(readable_photos(catalogue, np.sort(rows).tolist()))
    images, products = [photo for _, _, photo in photos], [product for _, product, _ in photos]
    if not images:
        raise InputError(f"{catalogue.name} split {catalogue.split} has no readable photo to calibrate on")
    if encoder.tags and config.prompt == "tags":
        features, regions = encoder.encode_images_and_regions(images, progress=progress)
    else:
        features, regions = encoder.encode_images(images, progress=progress), None
    return CalibrationPhotos(
        images=features,
        regions=regions,
        texts=encoder.encode_texts([product.text(config.text) for product in products], progress=progress),
        tags=[dict(product.tags) for product in products],
    )


def train_decoder(
    captioner: Captioner,
    corpus: Corpus,
    pairs: Conditions,
    embeddings: np.ndarray,
    seen: CalibrationPhotos | None,
    out: Path,
    resume: bool,
    progress: bool,
) -> None:
    """Trains tokenizer and model."""
    config = captioner.config
    torch.manual_seed(config.seed)
    disturb, noise = make_noise(config, corpus, embeddings, seen)
    captioner.tokenizer = make_tokenizer(config, corpus)
    longest = longest_prompt(config, captioner.tag_reader, captioner.tokenizer)
    if config.language_model is None:
        language_model = new_language_model(config, captioner.tokenizer, longest)
    else:
        language_model = pretrained_language_model(config.language_model)
        taken = config.prefix_length + longest + config.max_tokens
        if taken > language_model.config.n_positions:
            raise InputError(
                f"prefix, prompt and {config.max_tokens} tokens take {taken} positions, {config.language_model} has "
                f"{language_model.config.n_positions}; lower max_tokens or prefix_length"
            )
    captioner.model = build_model(config, embeddings.shape[1], captioner.tokenizer, language_model)
    captioner.model.to(captioner.encoder.device)
    tokens, ends, cut = tokenized(corpus.texts, captioner.tokenizer, config.max_tokens)
    rows = np.flatnonzero(pairs.rows >= 0)
    val = held_out(corpus, config.validation_size)[corpus.rows[rows]]
    if val.all() or not val.any():  # a handful of pairs
        val = np.arange(len(rows)) == 0
    examples = Examples(corpus, pairs.vectors, pairs.rows, tokens, ends, captioner.tokenizer, config)
    origin = captioner.training["origin"]
    trainer = Trainer(captioner.model, examples, rows[~val], rows[val], disturb, out, origin, progress)
    summary = trainer.run(resume)
    captioner.model.eval()
    captioner.training |= {"texts_cut": cut, "photos_lost": int((pairs.rows < 0).sum()), **noise, **summary}


def make_noise(config: CaptionerConfig, corpus: Corpus, embeddings: np.ndarray, seen: CalibrationPhotos | None):
    """Makes CapDec's noise for a batch, and its description for the record; none for DeCap."""
    if config.method != "capdec":
        return (lambda x: x), {}
    if seen is None and (config.calibration == "image-gap" or config.modality_offset):
        raise InputError("calibration image-gap and modality_offset need photos: give a catalogue with a val split")
    width = embeddings.shape[1]
    variance = config.variance
    if config.calibration == "like-texts":
        variance = variance_of_like_texts(embeddings, corpus.like_groups(), seed=config.seed)
    elif config.calibration == "image-gap" and seen is not None:
        variance = variance_of_gap(seen.texts, seen.images)
    elif config.target_cosine is not None:
        variance = variance_of_cosine(config.target_cosine, width)
    offset = None
    if config.modality_offset and seen is not None:
        offset = torch.from_numpy(seen.images.mean(axis=0) - seen.texts.mean(axis=0))
    record = {"variance": variance} | ({} if config.uniform else {"noise_cosine": cosine_of_variance(variance, width)})
    return partial(add_noise, variance=variance, offset=offset, uniform=config.uniform), record


def make_tokenizer(config: CaptionerConfig, corpus: Corpus) -> Tokenizer:
    """Makes the tokenizer of the settings; a SentencePiece model learns the prompts' words too."""
    if config.language_model is not None:
        return PretrainedTokenizer(config.language_model)
    if config.tokenizer == "clip":
        return ClipTokenizer()
    values = [f"{entity} {value}" for entity, found in corpus.vocabulary.items() for value in found]
    prompts = [] if config.prompt == "none" else [prompt_text(config.prompt, {}), *values]
    return SentencePieceTokenizer.trained([*evenly(corpus.texts), *prompts], config.vocabulary)


def longest_prompt(config: CaptionerConfig, reader: TagReader | None, tokenizer: Tokenizer) -> int:
    """Number of tokens of the longest possible prompt."""
    if reader is None:
        return 0

    def size(value: str) -> int:
        return len(tokenizer.encode(value))

    longest = {entity: max(values, key=size) for entity, values in reader.vocabulary.items()}
    pooled = sorted((value for values in reader.vocabulary.values() for value in values), key=size)[-3:]
    several = {str(number): value for number, value in enumerate(pooled)}
    prompts = [prompt_text(config.prompt, longest), prompt_text(config.prompt, several)]
    return max(map(size, prompts)) + len(longest)  # an extra piece at each seam, in case pieces join differently there


def keep_memory(captioner: Captioner, corpus: Corpus, embeddings: np.ndarray) -> None:
    """Keeps the support memory: all distinct texts, or a sample of them."""
    config = captioner.config
    chosen = np.arange(len(corpus.texts))
    if len(chosen) > config.memory_size:
        chosen = np.sort(np.random.default_rng(config.seed).permutation(len(chosen))[: config.memory_size])
    dtype = np.float16 if config.memory_precision == "fp16" else np.float32
    captioner.memory = torch.from_numpy(np.asarray(embeddings[chosen], dtype=dtype)).to(captioner.encoder.device)
    if config.method == "nearest":
        captioner.memory_texts = [corpus.texts[row] for row in chosen.tolist()]


def write_captioner(captioner: Captioner, out: Path) -> Captioner:
    """Puts the finished files beside the training state, the one that marks completion last, and removes the state."""
    with tempfile.TemporaryDirectory(dir=out, prefix=".finished.", suffix=".tmp") as folder:
        save_captioner(captioner, Path(folder), out)
        share(Path(folder))
        for path in sorted(Path(folder).iterdir(), key=lambda path: path.name == CONFIG):
            record(out / path.name, CAPTIONER.name)
            path.replace(out / path.name)
    shutil.rmtree(out / FOLDER, ignore_errors=True)
    captioner.info = captioner_info(captioner, out)
    return captioner
