"""Study `batch-size`: the methods with small and large batches, on equally many products (the paper's table 5)."""

from functools import partial

from e2.benchmarks.studies.base import Context, Variant, every_method_at
from e2.benchmarks.studies.lines import draw_lines
from e2.benchmarks.studies.runs import learned_splits, training_config
from e2.benchmarks.studies.trained import TrainedStudy
from e2.config import EPOCHS

SIZES = (16, 32, 64, 128, 256, 512)
CHUNK = 128  # products encoded at a time: larger batches take no more memory, and their gradients are exact


def variants(context: Context) -> list[Variant]:
    """Every method at every size that the catalogue fills; each against those before it at the same size."""
    seen, products = products_seen(context), learned_products(context)
    sizes = [size for size in SIZES if size <= products]
    return [one for size in sizes for one in every_method_at(str(size), settings_of(size, context, seen), size)]


def settings_of(size: int, context: Context, seen: int) -> dict[str, int | None]:
    """Settings changed by a batch size; none for the common one, so that trainings of other studies are shared."""
    if size == context.common.data.batch_size:
        return {}
    length = {"epochs": None, "steps": max(1, round(seen / size))}
    return {"data.batch_size": size, "data.chunk_size": CHUNK if size > CHUNK else None, **length}


def learned_products(context: Context) -> int:
    return len(context.open(learned_splits(context)[0]))


def products_seen(context: Context) -> int:
    """Products that a training of the requested length sees, with repetition."""
    config = training_config(context, Variant("common", {}), 0)
    products = learned_products(context)
    batch = min(config.data.batch_size, products)
    return batch * (config.steps or round((config.epochs or EPOCHS) * (products // batch)))


STUDY = TrainedStudy(
    name="batch-size",
    title="Batch size at equally many products seen",
    question="Is the gain over plain contrastive training largest at small batches?",
    variants=variants,
    figure=partial(draw_lines, over="x", label="batch size"),
    note="All sizes share the learning rate; compare methods at one size rather than sizes of one method.",
)
