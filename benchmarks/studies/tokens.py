"""Study `tokens`: selection tokens per entity against their cost (the paper's table 10)."""

from functools import partial

from e2.benchmarks.studies.base import Context, Variant, methods
from e2.benchmarks.studies.lines import draw_lines
from e2.benchmarks.studies.trained import TrainedStudy

COUNTS = (1, 2, 4, 8)


def variants(context: Context) -> list[Variant]:
    """Method ``e2`` with several numbers of tokens per entity, against both controls without tokens."""
    counted = [
        Variant(f"e2@{count}", {"method": "e2", "model.tokens": count}, ("clip", "multifield"), series="e2", x=count)
        for count in COUNTS
    ]
    return [*methods("clip", "multifield"), *counted]


STUDY = TrainedStudy(
    name="tokens",
    title="Selection tokens per entity",
    question="How many selection tokens does an entity need, and what do they cost in parameters?",
    variants=variants,
    figure=partial(draw_lines, over="x", label="selection tokens per entity"),
)
