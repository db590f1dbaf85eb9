"""Commands `e2 caption fit`, `write` and `sweep`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from e2.errors import InputError
from e2.options import (
    ENCODERS,
    BatchSize,
    CaptionColumn,
    Device,
    IdColumn,
    ImageColumn,
    Json,
    OnBadRow,
    Out,
    Seed,
    Split,
    Tags,
    Text,
    Workers,
    open_data,
)

caption_app = typer.Typer(help="Captions from text-only training.", no_args_is_help=True)

EncoderName = Annotated[str, typer.Option(help=ENCODERS)]
Texts = Annotated[str, typer.Option(metavar="SPEC|FILE.txt", help="a catalogue, or a UTF-8 file with one text per line")]
Steps = Annotated[int | None, typer.Option(min=1, help="length of the training, instead of --epochs")]
Epochs = Annotated[float | None, typer.Option(help="length of the training")]
LanguageModel = Annotated[str | None, typer.Option(help="GPT-2 folder or hub name; none: a small new one")]
Resume = Annotated[bool, typer.Option("--resume", help="continue a stopped run")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what is in --out")]
Beam = Annotated[int, typer.Option(help="hypotheses per image; 1 is greedy")]


@caption_app.command()
def fit(
    method: Annotated[str, typer.Option(help="decap, capdec or nearest")],
    encoder: EncoderName,
    data: Texts,
    out: Out,
    split: Split = "train",
    text: Text = "caption",
    tags: Tags = None,
    prompt: Annotated[str, typer.Option(help="none, tags (read from the photo) or entities (ViECap's)")] = "none",
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    max_tokens: Annotated[int | None, typer.Option(help="length of a caption")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="sentencepiece (learned from the texts) or clip")] = None,
    vocabulary: Annotated[int | None, typer.Option(min=1, help="pieces of a SentencePiece tokenizer")] = None,
    language_model: LanguageModel = None,
    freeze_language_model: Annotated[bool, typer.Option("--freeze-language-model", help="train only the mapper")] = False,
    mapper: Annotated[str | None, typer.Option(help="linear, mlp or transformer")] = None,
    prefix_length: Annotated[int | None, typer.Option(min=1, help="tokens that stand for the embedding")] = None,
    variance: Annotated[float | None, typer.Option(help="CapDec's noise per component")] = None,
    target_cosine: Annotated[float | None, typer.Option(help="the noise as a cosine instead")] = None,
    calibrate: Annotated[str | None, typer.Option(help="the noise from the data instead: like-texts or image-gap")] = None,
    modality_offset: Annotated[bool, typer.Option("--modality-offset", help="train on texts shifted to the photos")] = False,
    memory_temperature: Annotated[float | None, typer.Option(help="of DeCap's memory")] = None,
    memory_size: Annotated[int | None, typer.Option(min=1, help="most texts in the memory")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting of a captioner")] = None,
    caption_column: CaptionColumn = "caption",
    image_column: ImageColumn = "image",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="of the training: auto, fp32 or bf16")] = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fit a captioner to an encoder, on texts alone.

    Example: `e2 caption fit --method decap --encoder runs/mine --data catalogue.parquet --out runs/decap`
    """
    from e2.adapters.captioning.config import further_settings
    from e2.adapters.captioning.fit import CAPTIONER, fit_captioner
    from e2.adapters.encoder import load_encoder
    from e2.outputs import claim

    claim(out, CAPTIONER, resume=resume, overwrite=overwrite, remove=False)
    given: dict[str, Any] = {
        "text": text,
        "prompt": prompt,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "seed": seed,
    }
    given |= {"max_tokens": max_tokens, "tokenizer": tokenizer, "vocabulary": vocabulary, "precision": precision}
    given |= {"language_model": language_model, "mapper": mapper, "prefix_length": prefix_length, "variance": variance}
    given |= {"target_cosine": target_cosine, "calibration": calibrate, "modality_offset": modality_offset or None}
    given |= {"temperature": memory_temperature, "memory_size": memory_size}
    given |= {"tune_language_model": False if freeze_language_model else None}
    settings = {name: value for name, value in given.items() if value is not None} | further_settings(set_ or [])
    columns = (image_column, caption_column, id_column)
    source, photos, name = open_texts(data, split, tags, columns, on_bad_row)
    captioner = fit_captioner(
        method,
        load_encoder(encoder, device=device),
        source,
        out,
        photos=photos,
        name=name,
        resume=resume,
        overwrite=overwrite,
        **settings,
    )
    summary = {name: value for name, value in captioner.training.items() if name != "history"}
    if json:
        print(jsonlib.dumps({"out": str(out), **captioner.info, **summary}, indent=2, ensure_ascii=False))
    else:
        loss = f", validation loss {summary['val_loss']:.3f}" if summary.get("val_loss") is not None else ""
        print(f"learned from {summary['texts']:,} texts{loss}; captioner in {out}")


@caption_app.command()
def write(
    captioner: Annotated[Path, typer.Option(help="folder that e2 caption fit wrote")],
    data: Annotated[str, typer.Option(metavar="DIR|SPEC", help="a folder of photos, or a catalogue")],
    out: Annotated[Path, typer.Option(help="JSON-lines file to write, or a .csv")],
    encoder: Annotated[str | None, typer.Option(help="path of the captioner's encoder, if it moved")] = None,
    split: Split = None,
    beam: Beam = 1,
    max_tokens: Annotated[int | None, typer.Option(help="length of a caption")] = None,
    length_penalty: Annotated[float, typer.Option(help="beams rank by log-probability / length ** this")] = 1.0,
    no_repeat_ngram: Annotated[int, typer.Option(help="n of the n-grams that may not repeat; 0: none")] = 0,
    top_p: Annotated[float | None, typer.Option(help="sample from the likeliest tokens of this total probability")] = None,
    temperature: Annotated[float, typer.Option(help="of the decoder")] = 1.0,
    rerank: Annotated[bool, typer.Option("--rerank", help="choose among beams by similarity to the photo")] = False,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "skip",
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = 2,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write captions for a folder of photos or a catalogue, one JSON line each.

    Example: `e2 caption write --captioner runs/decap --data photos/ --out captions.jsonl`
    """
    from e2.adapters.captioning.captioner import load_captioner
    from e2.adapters.captioning.write import claim_captions, write_captions
    from e2.adapters.encoder import load_encoder

    claim_captions(out, resume=resume, overwrite=overwrite)
    decoding: dict[str, Any] = {
        "beam": beam,
        "length_penalty": length_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "top_p": top_p,
    }
    decoding |= {"temperature": temperature, "rerank": rerank, "seed": seed}
    decoding |= {} if max_tokens is None else {"max_tokens": max_tokens}
    options: dict[str, Any] = {"device": device, "batch_size": batch_size, "workers": workers}
    photos = open_photos(data, split, (image_column, caption_column, id_column), on_bad_row, out)
    loaded = load_captioner(captioner, load_encoder(encoder, **options) if encoder else None, **({} if encoder else options))
    counts = write_captions(loaded, photos, out, resume=resume, overwrite=overwrite, **decoding)
    errors = f", {counts['errors']:,} of them errors (see their lines)" if counts["errors"] else ""
    print(jsonlib.dumps(counts) if json else f"wrote {counts['photos']:,} lines to {out}{errors}")


@caption_app.command()
def sweep(
    encoder: EncoderName,
    data: Annotated[str, typer.Option(metavar="SPEC", help="a catalogue with a val split")],
    out: Out,
    split: Split = "train",
    photos_split: Annotated[str, typer.Option(help="split whose photos are captioned and scored")] = "val",
    variances: Annotated[str, typer.Option(help="comma-separated")] = "0,0.001,0.004,0.016,0.03,0.06",
    products: Annotated[int, typer.Option(min=1, help="most photos to caption")] = 500,
    beam: Beam = 1,
    epochs: Epochs = None,
    steps: Steps = None,
    language_model: LanguageModel = None,
    caption_column: CaptionColumn = "caption",
    image_column: ImageColumn = "image",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit CapDec with several noise variances and print how well each captions held-out photos.

    Example: `e2 caption sweep --encoder runs/mine --data boutique --out runs/sweep`
    """
    from rich.console import Console

    from e2.adapters.captioning.sweep import sweep_table, sweep_variances
    from e2.adapters.encoder import load_encoder
    from e2.files import atomic_path
    from e2.outputs import claim_results

    claim_results(out, "sweep.json")
    columns = (image_column, caption_column, id_column)
    given: dict[str, Any] = {"epochs": epochs, "steps": steps, "language_model": language_model, "seed": seed}
    rows = sweep_variances(
        load_encoder(encoder, device=device),
        open_data(data, split, None, columns, on_bad_row),
        open_data(data, photos_split, None, columns, on_bad_row),
        out,
        variances=parse_variances(variances),
        count=products,
        decoding={"beam": beam},
        **{name: value for name, value in given.items() if value is not None},
    )
    with atomic_path(out / "sweep.json") as path:
        path.write_text(jsonlib.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if json:
        print(jsonlib.dumps(rows, indent=2))
    else:
        Console().print(sweep_table(rows))


def open_texts(texts: str, split: str | None, tags: str | None, columns: tuple[str, str, str], on_bad_row: str):
    """Opens ``--data``: the texts, held-out photos to calibrate on if there are any, and a name for messages."""
    from e2.adapters.captioning.corpus import read_lines

    if texts.endswith(".txt"):
        if tags:
            raise InputError(f"--tags names columns, and {texts} has none: give a catalogue")
        return read_lines(texts), None, texts
    source = open_data(texts, split, tags, columns, on_bad_row)
    try:
        photos = open_data(texts, "val", tags, columns, on_bad_row) if split != "val" else source
    except InputError:
        photos = source  # a catalogue of one split: only its own photos are available
    return source, photos, texts


def open_photos(images: str, split: str | None, columns: tuple[str, str, str], on_bad_row: str, out: Path):
    """Opens ``--data``: a folder of photos, unless it holds tables (besides ``out``); else a catalogue."""
    from e2.adapters.captioning.write import CataloguePhotos, FolderPhotos
    from e2.data.sources import SOURCES

    folder = Path(images).expanduser()
    tables, ours = (".parquet", ".csv", ".tsv", ".jsonl"), out.absolute()

    def is_table(path: Path) -> bool:
        return path.suffix in tables and path.absolute() != ours and not path.name.startswith(".")

    nowhere = not folder.exists() and images.partition(":")[0] not in SOURCES
    if nowhere or (folder.is_dir() and not any(map(is_table, folder.iterdir()))):
        return FolderPhotos(folder, out)
    return CataloguePhotos(open_data(images, split, None, columns, on_bad_row))


def parse_variances(text: str) -> list[float]:
    """Parses comma-separated numbers.

    Raises:
        InputError: not a number.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--variances {text}: give numbers, e.g. 0,0.004,0.016") from error
