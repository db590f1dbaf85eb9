"""Study `modules`: the parts of the method, one changed at a time."""

from dataclasses import replace
from typing import Any

from e2.benchmarks.studies.base import Context, Variant
from e2.benchmarks.studies.runs import training_config
from e2.benchmarks.studies.trained import TrainedStudy
from e2.config import TrainConfig
from e2.defaults import complete_loss, complete_model

SWITCHES: dict[str, dict[str, Any]] = {  # label -> differences from ``e2``; those that have become the default are left out
    "without-tokens": {"method": "multifield"},
    "without-fusion": {"model.layers": []},
    "without-region-loss": {"loss.region_weight": 0.0},
    "without-image-tags": {"loss.image_tag_weight": 0.0},
    "hard": {"model.selector": "hard"},
    "soft": {"model.selector": "soft"},
    "top-k": {"model.selector": "top-k"},
    "random": {"model.selector": "random"},
    "uniform": {"model.selector": "uniform"},
    "local": {"model.locations": "local"},
    "patches": {"model.locations": "patches"},
    "apart": {"model.attention": "apart"},
    "one-way": {"model.attention": "one-way"},
    "full": {"model.attention": "full"},
    "stream": {"model.gates": "stream"},
    "pooled": {"model.gates": "pooled"},
    "diagonal-targets": {"loss.same_tag_positive": False},
    "shared-scale": {"loss.tag_scale": None},
    "uncentred-tags": {"loss.centre_tags": False},
}


def variants(context: Context) -> list[Variant]:
    """Method ``e2`` and each of its switches."""
    whole = Variant("e2", {"method": "e2"})
    changed = [Variant(label, {**whole.settings, **change}, against=("e2",)) for label, change in SWITCHES.items()]
    return [whole, *(variant for variant in changed if settled(context, variant) != settled(context, whole))]


def settled(context: Context, variant: Variant) -> TrainConfig:
    """Returns the settings of a variant's training, with what depends on the backbone's weights filled in."""
    config = training_config(context, variant, 0)
    pretrained = config.starts_pretrained
    return replace(config, model=complete_model(config.model, pretrained), loss=complete_loss(config.loss, pretrained))


STUDY = TrainedStudy(
    name="modules",
    title="Parts of the method",
    question="What does each part bring: tokens, fusion, region loss, the selection rule, what tokens see, same-tag targets?",
    variants=variants,
)
