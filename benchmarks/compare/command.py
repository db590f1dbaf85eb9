"""`e2 compare`: parses and calls. Heavy packages are imported inside the command."""

from typing import Annotated

import typer

from e2.options import CachedEncoderOptions, Json, MeasuredOptions, Models, Out, ProductVectorRule, Seed, Text, show


def compare(
    model: Models,
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    out: Out,
    text: Text = "caption",
    product_vector: ProductVectorRule = "photos",
    products: Annotated[int | None, typer.Option(min=2, help="measure on at most this many, drawn by --seed")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare models on a catalogue: search by text, by tags and by photo, reading of tags, speed and size on one page.

    A model measured before on the same data is not measured again.

    Example: `e2 compare --data boutique --model runs/clip runs/e2 open_clip:ViT-B-32/openai --out runs/models`
    """
    from e2.adapters.product_vector import ProductVector
    from e2.benchmarks.compare.page import PAGE
    from e2.benchmarks.compare.run import claim_out, compare_models, summary_table

    claim_out(out)
    rule = ProductVector.parse(product_vector)
    found = compare_models(
        model, catalogue.open(), out, text=text, product_vector=rule, products=products, seed=seed, **vars(loading)
    )
    show(found, json, summary_table(found), f"wrote {out / PAGE} and comparison.json beside it")
