"""Commands `e2 index build`, `update`, `delete`, `info` and `search`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from e2.adapters.composed.command import Composition
from e2.adapters.search.address import shown
from e2.counting import counted
from e2.errors import InputError
from e2.options import (
    CachedEncoderOptions,
    CatalogueOptions,
    Commands,
    Device,
    EncoderName,
    Json,
    Overwrite,
    Precision,
    ProductVectorRule,
    Resume,
    show,
)

index_app = Commands(help="Build and search the index of a catalogue.")
OwnEncoder = Annotated[str | None, typer.Option(help="where the index's encoder is now, if it was moved")]
Index = Annotated[str, typer.Option("--index", metavar="PATH|URI", help="folder, or the address of a Milvus collection")]
Place = Annotated[str, typer.Option("--out", metavar="PATH|URI", help="folder, or the address of a Milvus collection")]
VectorTypes = Literal["float32", "float16", "int8", "binary"]
Rerank = Annotated[
    str | None,
    typer.Option(
        "--reranker",
        metavar="URL|MODEL",
        help="look at the first 20 hits again: by a model that sees, on an OpenAI-compatible server, or by a cross-encoder",
    ),
]
RerankSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--reranker-set", metavar="KEY=VALUE", help="settings of --reranker, e.g. model=NAME, seconds=10, cache=FILE"
    ),
]


@index_app.command()
def build(
    encoder: EncoderName,
    catalogue: CatalogueOptions,
    out: Place,
    loading: CachedEncoderOptions,
    features: Annotated[
        Path | None,
        typer.Option(help="vectors of this split and encoder, written by e2 embed: nothing is embedded again"),
    ] = None,
    product_vector: ProductVectorRule = "photos",
    vector_type: Annotated[
        VectorTypes, typer.Option(help="numbers of the stored vectors: fewer bits take less disk (in a folder) and memory")
    ] = "float32",
    picture_side: Annotated[
        int | None,
        typer.Option(min=64, max=4096, help="pixels of the longer side of the pictures kept for the page; else 512"),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Embed a catalogue's photos and keep them with descriptions, tags and thumbnails, ready to be searched.

    Example: `e2 index build --encoder runs/mine --data catalogue.parquet --tags brand,colour --out runs/index`
    """
    from e2.adapters.encoder import load_encoder
    from e2.adapters.product_vector import ProductVector
    from e2.adapters.search.build import build_index
    from e2.adapters.search.engines import claim_address

    if resume and overwrite:
        raise InputError("--resume continues with an index and --overwrite replaces it; choose one")
    rule = ProductVector.parse(product_vector)
    claim_address(out, resume=resume, overwrite=overwrite)
    products = catalogue.open(texts_needed=False)
    model = load_encoder(encoder, **vars(loading))
    options: dict[str, Any] = {"product_vector": rule, "vector_type": vector_type, "picture_side": picture_side}
    done = build_index(model, products, out, features=features, resume=resume, overwrite=overwrite, **options)
    kept = f" ({done.unchanged:,} were there already)" if done.unchanged else ""
    record = {"index": shown(out), "written": done.written, "unchanged": done.unchanged}
    show(record, json, f"wrote {counted(done.written, 'product')}{kept} to {shown(out)}")


@index_app.command()
def update(
    index: Index,
    catalogue: CatalogueOptions,
    loading: CachedEncoderOptions,
    encoder: OwnEncoder = None,
    json: Json = False,
) -> None:
    """Add a catalogue's products to an index, and replace those of the same ids that have changed.

    Example: `e2 index update --index runs/index --data new-arrivals.parquet --tags brand,colour`
    """
    from e2.adapters.search.build import update_index
    from e2.adapters.search.index import encoder_of

    products = catalogue.open(texts_needed=False)
    done = update_index(encoder_of(index, encoder, **vars(loading)), products, index)
    line = f"wrote {done.written:,} new or changed products to {shown(index)}; {done.unchanged:,} are as they were"
    show({"index": shown(index), "written": done.written, "unchanged": done.unchanged}, json, line)


@index_app.command()
def delete(
    index: Index,
    ids: Annotated[str, typer.Option(help="product ids separated by commas, @FILE with one per line, or a JSON list")],
    json: Json = False,
) -> None:
    """Remove products from an index.

    Example: `e2 index delete --index runs/index --ids 1163,1164`
    """
    from e2.adapters.search.index import open_index

    asked = _ids(ids)
    opened = open_index(index)
    deleted = opened.delete(asked)
    opened.close()
    missing = f"; {len(asked) - deleted:,} were not there" if deleted < len(asked) else ""
    products = "product" if deleted == 1 else "products"
    said = f"deleted {deleted:,} {products} from {shown(index)}{missing}"
    show({"index": shown(index), "deleted": deleted, "asked": len(asked)}, json, said)


@index_app.command()
def info(index: Index, json: Json = False) -> None:
    """Show what an index was made of, and the tags that filters may name.

    Example: `e2 index info --index runs/index`
    """
    from e2.adapters.search.index import open_index
    from e2.adapters.search.tables import info_table

    opened = open_index(index)
    record = {**opened.manifest.record(), "facets": opened.facets()}
    opened.close()
    show(record, json, info_table(shown(index), record))


@index_app.command()
def search(
    index: Index,
    text: Annotated[str | None, typer.Option(help="words; with a photo what should differ")] = None,
    image: Annotated[list[str] | None, typer.Option(metavar="FILE[@WEIGHT]", help="a photo, or several that add up")] = None,
    minus: Annotated[list[str] | None, typer.Option(metavar="FILE[@WEIGHT]", help="a photo to move away from")] = None,
    box: Annotated[
        str | None, typer.Option(metavar="L,T,R,B", help="part of the photo to search with, in shares, e.g. 0.2,0,0.8,0.5")
    ] = None,
    like: Annotated[list[str] | None, typer.Option(metavar="PRODUCT_ID", help="a product of the index as a photo")] = None,
    unlike: Annotated[list[str] | None, typer.Option(metavar="PRODUCT_ID", help="a product to move away from")] = None,
    filter_: Annotated[
        str | None, typer.Option("--filter", help="""e.g. 'brand == "Nike" and not colour in ["red", "blue"]'""")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="ENTITY:VALUE", help="only products with it; of one entity any of the values")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="TAG", help="order the 100 nearest by a tag's numbers: price, or -price for highest first"),
    ] = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="hits")] = 12,
    method: Annotated[Composition | None, typer.Option(help="for a photo with words, as in e2 compose search")] = None,
    composer: Annotated[Path | None, typer.Option(help="folder of e2 compose fit, for a photo and words")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="options of the method, e.g. text_weight=0.5")
    ] = None,
    hybrid: Annotated[
        bool, typer.Option("--hybrid/--vectors", help="find words in ids, descriptions and tags too, or by vectors alone")
    ] = True,
    rerank: Rerank = None,
    rerank_set: RerankSettings = None,
    encoder: OwnEncoder = None,
    device: Device = "auto",
    precision: Precision = "fp32",
    json: Json = False,
) -> None:
    """Search by words, by photos, by both, or for products like some in the index.

    Example: `e2 index search --index runs/index --text "a red dress" --filter 'brand in ["Nike", "Puma"]' -k 20`
    """
    from e2.adapters.search.filters import tags_of
    from e2.adapters.search.index import encoder_of, open_index
    from e2.adapters.search.photos import file_photos, joined, product_photos
    from e2.adapters.search.queries import alike, query_of, search
    from e2.adapters.search.reranking.choose import reranker_of
    from e2.adapters.search.sorting import order_of
    from e2.adapters.search.tables import hits_shown

    reranker = reranker_of(rerank, rerank_set or [])
    opened = open_index(index)
    where = opened.filter(filter_, tags_of(tag or [], opened.entities))
    order = order_of(sort, opened.entities)
    shown_products = product_photos(opened, like or [], unlike or [])
    if shown_products and text is None and not (image or minus or box):
        query = alike(joined(shown_products))
    else:
        model = encoder_of(index, encoder, device=device, precision=precision, workers=0)
        photos = [*file_photos(model, image or [], minus or [], box), *shown_products]
        options: dict[str, Any] = {"method": method, "composer": composer, "settings": set_ or [], "hybrid": hybrid}
        query = query_of(model, text=text, photos=joined(photos) if photos else None, products=opened, **options)
    found = search(opened, query, top, where, reranker=reranker, order=order)
    opened.close()
    steps = query.steps | found.told
    show({"steps": steps, "hits": [hit.record() for hit in found.hits]}, json, *hits_shown(steps, found.hits))


def _ids(text: str) -> list[str]:
    """Parses ids: ``a,b``, ``@FILE`` with one per line, or, for ids with commas, a JSON list ``["a,b", ...]`` or file."""
    words = text.split(",")
    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--ids {text}: cannot be read ({error}); give a UTF-8 file with an id a line") from error
        words = text.split("\n")
    if text.lstrip().startswith("["):
        try:
            ids = jsonlib.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"--ids: this is not a JSON list ({error})") from error
        if not all(isinstance(name, str) for name in ids):
            raise InputError("--ids: a JSON list has to hold texts only")
    else:
        ids = [word.strip() for word in words if word.strip()]
    if not ids:
        raise InputError(f"--ids {text[:40]}: there is no id; write --ids a,b or --ids @FILE")
    return list(dict.fromkeys(ids))
