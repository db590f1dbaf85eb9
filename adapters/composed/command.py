"""Commands `e2 compose fit` and `search`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from e2.counting import counted
from e2.errors import InputError, printable
from e2.options import (
    CachedEncoderOptions,
    Commands,
    EncoderName,
    Json,
    Out,
    Overwrite,
    ProductVectorRule,
    Seed,
    Split,
    TableOptions,
    Tags,
    show,
)

Fitted = Literal["lincir", "pic2word", "searle", "slots"]
Composition = Literal["image", "text", "sum", "raw-sum", "slerp", "searle-oti", "cirevl", Fitted]
compose_app = Commands(help="Search with a photo and a wish.")


@compose_app.command()
def fit(
    encoder: Annotated[str, typer.Option(help="checkpoint folder, open_clip:NAME/TAG, ...; exports fit slots only")],
    out: Out,
    data: Annotated[
        str, typer.Option(metavar="SPEC|FILE.txt", help="a catalogue; for lincir also a file with one text per line")
    ],
    table: TableOptions,
    loading: CachedEncoderOptions,
    method: Annotated[Fitted, typer.Option()] = "lincir",
    split: Split = "train",
    tags: Tags = None,
    phrases: Annotated[
        str | None, typer.Option(help="of searle: JSON file, captioner's folder, transformers:NAME; else the descriptions")
    ] = None,
    products: Annotated[int | None, typer.Option(min=2, help="how many pic2word and searle look at, at most")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="length of the training")] = None,
    oti_steps: Annotated[int, typer.Option(min=1, help="of searle's inversion of each photo")] = 350,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. lr=1e-4")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Fit a method to an encoder: pseudo-words from texts (lincir, minutes), from photos (pic2word, searle), or tag slots.

    Example: `e2 compose fit --method lincir --encoder runs/mine --data catalogue.parquet --out runs/lincir`
    """
    from e2.adapters.composed.methods import fit_composer
    from e2.adapters.composed.oti import OtiConfig
    from e2.adapters.composed.settings import fit_config
    from e2.adapters.composed.store import COMPOSER, read_record
    from e2.adapters.encoder import load_encoder
    from e2.outputs import claim

    claim(out, COMPOSER, overwrite=overwrite, remove=False)
    config = fit_config(set_ or [], seed=seed, steps=steps)
    model = load_encoder(encoder, **vars(loading))
    source = read_texts(data) if data.endswith(".txt") else table.open(data, split, tags)
    oti = OtiConfig(steps=oti_steps, seed=seed)
    fit_composer(method, model, source, out, config=config, oti=oti, phrases=phrases, photos=products, overwrite=overwrite)
    training = read_record(out).training
    show({"method": method, "out": str(out), **training}, json, f"wrote {method} to {out}{_told(training)}")


def _told(training: Mapping[str, Any]) -> str:
    """Result of a fit: a line, or one for each tag that was read."""
    if "reading" not in training:
        return f": {counted(training['steps'], 'step')}, held-out loss {training['held_out_loss']:.4f}"
    tags = (
        f"\n  {entity}: {score['precision'] or 0:.0f} % right, {score['recall']:.0f} % found"
        for entity, score in training["reading"].items()
    )
    return f"; tags read off photos that did not set their thresholds{''.join(tags)}"


@compose_app.command()
def search(
    image: Annotated[str, typer.Option(help="the reference photo")],
    text: Annotated[str, typer.Option(help='what should differ, e.g. "is red and has a hood"')],
    encoder: EncoderName,
    table: TableOptions,
    loading: CachedEncoderOptions,
    method: Annotated[Composition | None, typer.Option(help="what --composer is, if not given")] = None,
    composer: Annotated[Path | None, typer.Option(help="folder of e2 compose fit")] = None,
    data: Annotated[str | None, typer.Option(metavar="SPEC", help="boutique, a table or folder, products:DIR")] = None,
    features: Annotated[Path | None, typer.Option(help="vectors that e2 embed wrote; else computed from --data")] = None,
    split: Split = None,
    tags: Tags = None,
    target: Annotated[Literal["image", "text"], typer.Option(help="find photos or descriptions")] = "image",
    product_vector: ProductVectorRule = "photos",
    top: Annotated[int, typer.Option(min=1, help="hits")] = 12,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="options of the method, e.g. text_weight=0.7")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for hits.json and hits.png")] = None,
    json: Json = False,
) -> None:
    """Search a catalogue with a photo and a wish.

    Example: `e2 compose search --image ref.jpg --text "is red" --encoder runs/mine --composer runs/lincir --data shop.csv`
    """
    from e2.adapters.composed.methods import start_search
    from e2.adapters.encoder import load_encoder
    from e2.adapters.product_vector import ProductVector
    from e2.adapters.search.catalogue import FILES, find, save_found
    from e2.adapters.search.tables import hits_shown
    from e2.outputs import claim_results

    rule = ProductVector.parse(product_vector)
    if out:
        claim_results(out, *FILES)
    if data is None and features is None:
        raise InputError("nothing to search in: give --data SPEC, --features FILE, or both")
    if not Path(image).is_file():
        raise InputError(f"--image {printable(image)}: there is no such file; give the reference photo")
    catalogue = None if data is None else table.open(data, split, tags)
    chosen = start_search(load_encoder(encoder, **vars(loading)), method, composer, catalogue, set_ or [])
    found = find(chosen, image, text, catalogue=catalogue, index=features, target=target, product_vector=rule, top=top)
    written = []
    if out:
        save_found(found, out)
        written.append(f"wrote hits.json and hits.png to {out}")
    show(found.record(), json, *hits_shown(found.steps, found.hits, text), *written)


def read_texts(path: str) -> list[str]:
    """Reads texts, one per line."""
    from e2.adapters.captioning.corpus import read_lines

    texts = [line.strip() for line in read_lines(path) if line.strip()]
    if not texts:
        raise InputError(f"{path} holds no text; give a UTF-8 file with one text per line")
    return texts
