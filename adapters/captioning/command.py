"""Commands `e2 caption fit`, `write` and `sweep`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

from e2.counting import counted
from e2.errors import InputError
from e2.notes import say
from e2.options import (
    BatchSize,
    Commands,
    Device,
    EncoderName,
    Json,
    OnBadRow,
    Out,
    Overwrite,
    Resume,
    Seed,
    Split,
    TableOptions,
    Tags,
    Text,
    Workers,
    given,
    parse_numbers,
    show,
)

caption_app = Commands(help="Write captions in the words of a catalogue or a list of texts.")

Steps = Annotated[int | None, typer.Option(min=1, help="length of the training, instead of --epochs")]
Epochs = Annotated[float | None, typer.Option(help="length of the training")]
LanguageModel = Annotated[str | None, typer.Option(help="GPT-2 folder or hub name; none: a small new one")]
MaxTokens = Annotated[int | None, typer.Option(help="length of a caption")]
Beam = Annotated[int, typer.Option(help="hypotheses per image; 1 is greedy")]


@dataclass(frozen=True, kw_only=True)
class CaptionerOptions:
    """Settings of a captioner, by the names that its configuration has."""

    panel: ClassVar[str] = "Captioner"

    text: Text = "caption"
    paired: Annotated[
        bool, typer.Option("--paired", help="learn each product's text from its photo, instead of from texts alone")
    ] = False
    prompt: Annotated[
        Literal["none", "tags", "entities"], typer.Option(help="tags are read off the photo; entities are ViECap's")
    ] = "none"
    epochs: Epochs = None
    steps: Steps = None
    batch_size: Annotated[int | None, typer.Option(min=1)] = None
    max_tokens: MaxTokens = None
    tokenizer: Annotated[
        Literal["sentencepiece", "clip"] | None, typer.Option(help="sentencepiece is learned from the texts")
    ] = None
    vocabulary: Annotated[int | None, typer.Option(min=1, help="pieces of a SentencePiece tokenizer")] = None
    language_model: LanguageModel = None
    mapper: Annotated[Literal["linear", "mlp", "transformer"] | None, typer.Option(help="from embedding to prefix")] = None
    prefix_length: Annotated[int | None, typer.Option(min=1, help="tokens that stand for the embedding")] = None
    variance: Annotated[float | None, typer.Option(help="CapDec's noise per component")] = None
    target_cosine: Annotated[float | None, typer.Option(help="the noise as a cosine instead")] = None
    calibration: Annotated[
        Literal["like-texts", "image-gap"] | None, typer.Option("--calibrate", help="the noise from the data instead")
    ] = None
    modality_offset: Annotated[bool, typer.Option("--modality-offset", help="train on texts shifted to the photos")] = False
    temperature: Annotated[float | None, typer.Option("--memory-temperature", help="of DeCap's memory")] = None
    memory_size: Annotated[int | None, typer.Option(min=1, help="texts in the memory, at most")] = None
    seed: Seed = 0
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="of the training")] = "auto"


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """Options for writing captions, under the names of `Decoding`."""

    beam: Beam = 1
    max_tokens: MaxTokens = None
    min_words: Annotated[int, typer.Option(min=0, help="words of a caption, at least")] = 0
    max_words: Annotated[int | None, typer.Option(min=1, help="words of a caption, at most")] = None
    begin: Annotated[str, typer.Option(help="words that every caption begins with")] = ""
    length_penalty: Annotated[float, typer.Option(help="beams rank by log-probability / length ** this")] = 1.0
    length_unit: Annotated[Literal["choices", "tokens"], typer.Option(help="of that length; tokens favour long names")] = (
        "choices"
    )
    no_repeat_ngram: Annotated[int, typer.Option(help="n of the n-grams that may not repeat; 0: none")] = 0
    top_p: Annotated[float | None, typer.Option(help="sample from the likeliest tokens of this total probability")] = None
    temperature: Annotated[float, typer.Option(help="of the decoder")] = 1.0
    rerank: Annotated[bool, typer.Option("--rerank", help="choose among beams by similarity to the photo")] = False
    seed: Seed = 0


@dataclass(frozen=True, kw_only=True)
class PhotosTable(TableOptions):
    """A table whose bad rows get no caption."""

    on_bad_row: OnBadRow = "skip"


@caption_app.command()
def fit(
    method: Annotated[
        Literal["decap", "capdec", "nearest"],
        typer.Option(metavar="METHOD", help="decap, capdec, or nearest: the most similar text, no training"),
    ],
    encoder: EncoderName,
    data: Annotated[str, typer.Option(metavar="SPEC|FILE.txt", help="a catalogue, or a UTF-8 file with one text per line")],
    out: Out,
    options: CaptionerOptions,
    table: TableOptions,
    split: Split = "train",
    tags: Tags = None,
    freeze_language_model: Annotated[bool, typer.Option("--freeze-language-model", help="train only the mapper")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting of a captioner")] = None,
    device: Device = "auto",
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fit a captioner to an encoder, on texts alone or (--paired) on photos and their texts.

    Example: `e2 caption fit --method decap --encoder runs/mine --data catalogue.parquet --out runs/decap`
    """
    from e2.adapters.captioning.config import further_settings
    from e2.adapters.captioning.fit import CAPTIONER, fit_captioner
    from e2.adapters.encoder import load_encoder
    from e2.outputs import claim

    claim(out, CAPTIONER, resume=resume, overwrite=overwrite, remove=False)
    settings = given(**vars(options)) | ({"tune_language_model": False} if freeze_language_model else {})
    settings |= further_settings(set_ or [])
    texts, photos = open_texts(data, split, tags, table)
    captioner = fit_captioner(
        method,
        load_encoder(encoder, device=device),
        texts,
        out,
        photos=photos,
        name=data,
        resume=resume,
        overwrite=overwrite,
        **settings,
    )
    summary = {name: value for name, value in captioner.training.items() if name != "history"}
    loss = f", validation loss {summary['val_loss']:.3f}" if summary.get("val_loss") is not None else ""
    line = f"learned from {counted(summary['texts'], 'text')}{loss}; captioner in {out}"
    show({"out": str(out), **captioner.info, **summary}, json, line)


@caption_app.command()
def write(
    captioner: Annotated[Path, typer.Option(help="folder that e2 caption fit wrote")],
    data: Annotated[str, typer.Option(metavar="DIR|SPEC", help="a folder of photos, or a catalogue")],
    out: Annotated[Path, typer.Option(help="file to write")],
    decoding: DecodingOptions,
    table: PhotosTable,
    encoder: Annotated[str | None, typer.Option(help="path of the captioner's encoder, if it moved")] = None,
    split: Split = None,
    format: Annotated[
        Literal["jsonl", "csv", "tsv", "shopify"] | None,
        typer.Option(help="shopify: a product import with Handle and Body (HTML); none: by the ending of --out"),
    ] = None,
    tags: Tags = None,
    facts: Annotated[
        Literal["tags", "sure", "free"] | None,
        typer.Option(
            help="captions may state the product's own tags, what is measured to be right, or all; none: tags if any"
        ),
    ] = None,
    labelled: Annotated[str, typer.Option(help="split with tags that sure facts are measured on")] = "val",
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = 2,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write captions for a folder of photos or a catalogue, one line each.

    Example: `e2 caption write --captioner runs/decap --data photos/ --out captions.jsonl`
    """
    from e2.adapters.captioning.checkpoint import load_captioner
    from e2.adapters.captioning.write import claim_captions, require_products, write_captions
    from e2.adapters.encoder import load_encoder

    claim_captions(out, resume=resume, overwrite=overwrite)
    options: dict[str, Any] = {"device": device, "batch_size": batch_size, "workers": workers}
    photos = open_photos(data, split, tags, table, out)
    require_products(format, photos)
    moved = load_encoder(encoder, **options) if encoder else None
    loaded = load_captioner(captioner, moved, **({} if encoder else options))
    how = given(**vars(decoding))
    held = open_facts(facts, loaded, photos, data, labelled, tags, table, how)
    counts = write_captions(loaded, photos, out, form=format, facts=held, resume=resume, overwrite=overwrite, **how)
    if format == "shopify":
        left = f"; {counted(counts['errors'], 'photo')} without a caption are left out" if counts["errors"] else ""
        show(counts, json, f"wrote {counted(counts['products'], 'product')} to {out}{left}")
        return
    errors = f", {counts['errors']:,} of them errors (see their lines)" if counts["errors"] else ""
    show(counts, json, f"wrote {counted(counts['photos'], 'line')} to {out}{errors}")


@caption_app.command()
def sweep(
    encoder: EncoderName,
    data: Annotated[str, typer.Option(metavar="SPEC", help="a catalogue with a val split")],
    out: Out,
    table: TableOptions,
    split: Split = "train",
    photos_split: Annotated[str, typer.Option(help="split whose photos are captioned and scored")] = "val",
    variances: Annotated[
        str,
        typer.Option(help="noise, with commas; 0, 0.001, 0.004, 0.016, 0.03 and 0.06 unless given", show_default=False),
    ] = "0,0.001,0.004,0.016,0.03,0.06",
    products: Annotated[int, typer.Option(min=1, help="photos to caption, at most")] = 500,
    beam: Beam = 1,
    epochs: Epochs = None,
    steps: Steps = None,
    language_model: LanguageModel = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Fit CapDec with several noise variances and print how well each captions held-out photos.

    Example: `e2 caption sweep --encoder runs/mine --data boutique --out runs/sweep`
    """
    from e2.adapters.captioning.sweep import sweep_table, sweep_variances
    from e2.adapters.encoder import load_encoder
    from e2.files import write_json
    from e2.outputs import claim_results

    claim_results(out, "sweep.json")
    rows = sweep_variances(
        load_encoder(encoder, device=device),
        table.open(data, split),
        table.open(data, photos_split),
        out,
        variances=parse_numbers("--variances", variances),
        count=products,
        decoding={"beam": beam},
        **given(epochs=epochs, steps=steps, language_model=language_model, seed=seed),
    )
    write_json(out / "sweep.json", rows)
    show(rows, json, sweep_table(rows), f"wrote sweep.json and a captioner for each variance to {out}")


def open_texts(data: str, split: str | None, tags: str | None, table: TableOptions):
    """The texts that ``--data`` names, and held-out photos to calibrate on if there are any."""
    from e2.adapters.captioning.corpus import read_lines

    if data.endswith(".txt"):
        if tags:
            raise InputError(f"--tags names columns, and {data} has none: give a catalogue")
        return read_lines(data), None
    source = table.open(data, split, tags)
    try:
        return source, source if split == "val" else table.open(data, "val", tags)
    except InputError:
        return source, source  # a catalogue of one split: its own photos are the only ones at hand


def open_facts(
    mode: str | None, captioner: Any, photos: Any, data: str, labelled: str, tags: str | None, table: TableOptions, how: dict
):
    """Rules for the facts of captions: of the mode, or else the product's own tags, if the data have any."""
    from e2.adapters.captioning.facts import PRECISION, sure_facts
    from e2.adapters.captioning.facts import Facts as Rules
    from e2.adapters.captioning.write import TITLE
    from e2.adapters.tag_reader import tag_vocabulary
    from e2.data.sources import splits_of

    catalogue = getattr(photos, "catalogue", None)
    known = bool(getattr(catalogue, "tags", ()))
    if mode is None and not known:
        say("note: no tags to hold captions to: brands and other facts are as the decoder states them")
    if mode == "free" or (mode is None and not known):
        return None
    if catalogue is None or not known:
        raise InputError(f"--facts {mode} needs a catalogue with tags: name its columns by --tags, or choose --facts free")
    others = [name for name in splits_of(data) if name != catalogue.split]
    vocabulary = tag_vocabulary(catalogue, *(table.open(data, name, tags) for name in others))
    vocabulary.pop(TITLE, None)  # a text, no fact
    columns = table.read(tags)["columns"]
    synonyms = {entity: rule.values or {} for entity in vocabulary if (rule := columns.rule_of(entity))}
    if mode != "sure":
        return Rules(vocabulary, synonyms=synonyms)
    rules, counts = sure_facts(captioner, table.open(data, labelled, tags), vocabulary, synonyms=synonyms, **how)
    shares = ", ".join(f"{entity} {right:,} of {made:,}" for entity, (right, made) in counts.items())
    kept = ", ".join(rules.sure) or "none"
    say(f"facts stated rightly on {labelled}: {shares}; sure from {PRECISION:.0%}: {kept}")
    return rules


def open_photos(data: str, split: str | None, tags: str | None, table: TableOptions, out: Path):
    """The photos that ``--data`` names: of a folder, unless tables lie in it (``out`` aside); else of a catalogue."""
    from e2.adapters.captioning.write import CataloguePhotos, FolderPhotos
    from e2.data.sources import SOURCES

    folder = Path(data).expanduser()
    tables, ours = (".parquet", ".csv", ".tsv", ".jsonl"), out.absolute()

    def is_table(path: Path) -> bool:
        return path.suffix in tables and path.absolute() != ours and not path.name.startswith(".")

    nowhere = not folder.exists() and data.partition(":")[0] not in SOURCES
    if nowhere or (folder.is_dir() and not any(map(is_table, folder.iterdir()))):
        return FolderPhotos(folder, out)
    return CataloguePhotos(table.open(data, split, tags))
