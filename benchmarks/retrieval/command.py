"""`e2 evaluate retrieval`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import typer

from e2.errors import InputError
from e2.options import CachedEncoderOptions, Json, MeasuredOptions, Models, ProductVectorRule, Seed, Text, show


@dataclass(frozen=True, kw_only=True)
class JudgedOptions:
    """Options for queries with known answers."""

    panel: ClassVar[str] = "Judged queries"

    qrels: Annotated[list[Path] | None, typer.Option(help="relevant products: JSON, BEIR or TREC; repeatable")] = None
    queries: Annotated[Path | None, typer.Option(help="texts of the queries, if --qrels names them by ids")] = None
    benchmark: Annotated[str | None, typer.Option(help="marqo:NAME, e.g. marqo:KAGL, whose files --qrels are")] = None
    exclude_ids: Annotated[Path | None, typer.Option(help="products to leave out of the gallery, one id per line")] = None


def retrieval(
    model: Models,
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    judged: JudgedOptions,
    protocol: Annotated[Literal["full", "first-photo", "sample-100"], typer.Option()] = "full",
    text: Text = "caption",
    product_vector: ProductVectorRule | None = None,
    rule: Annotated[Literal["fame-vil", "authors", "any"], typer.Option(help="negatives of sample-100")] = "fame-vil",
    candidates: Annotated[Path | None, typer.Option(help="saved sample-100 lists to use again")] = None,
    image_to_image: Annotated[
        bool, typer.Option("--image-to-image", help="photos by photos: the same product, the same tags, the same kind")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Recall of photos by texts and of texts by photos, or of products by judged queries, with 95 % intervals; several models
    side by side.

    Example: `e2 evaluate retrieval --model runs/a --model runs/b --data boutique --split test --out runs/comparison`
    """
    from e2.adapters.encoder import load_encoder
    from e2.adapters.product_vector import ProductVector
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.retrieval.benchmark import evaluate_qrels, judged_table, read_tasks
    from e2.benchmarks.retrieval.evaluate import LISTS, evaluate_retrieval, results_table
    from e2.benchmarks.retrieval.image_to_image import alike_table, evaluate_image_to_image

    usual = not candidates and (protocol, rule) == ("full", "fame-vil")
    if image_to_image and (not usual or product_vector or text != "caption" or any(vars(judged).values())):
        raise InputError("--image-to-image takes no texts, queries, protocol or product vectors; leave the other options out")
    one_vector = ProductVector.parse(product_vector) if product_vector else None
    if judged.qrels:
        if not usual:
            raise InputError("--protocol, --rule and --candidates are for photos against texts; leave them or --qrels out")
        read_tasks(judged.qrels, judged.benchmark, judged.queries)  # before anything long
    elif any(vars(judged).values()):
        raise InputError("--benchmark, --queries and --exclude-ids need judged queries; give them by --qrels")
    claim_comparison(out, LISTS)
    products = catalogue.open()
    encoders = [load_encoder(name, **vars(loading)) for name in model]
    if image_to_image:
        compared = evaluate_image_to_image(encoders, products, seed=seed, out=out)
        show(compared, json, alike_table(compared), out=out)
        return
    if judged.qrels:
        options = {name: value for name, value in vars(judged).items() if name != "qrels"}
        options |= {"product_vector": one_vector} if one_vector else {}
        compared = evaluate_qrels(encoders, products, judged.qrels, text=text, seed=seed, out=out, **options)
        show(compared, json, judged_table(compared))
        return
    options = {"text": text, "product_vector": one_vector, "seed": seed, "rule": rule, "candidates": candidates}
    compared = evaluate_retrieval(encoders, products, protocol=protocol, out=out, **options)
    show(compared, json, results_table(compared), out=out)
