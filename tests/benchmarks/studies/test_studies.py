"""What each study trains."""

import dataclasses

import pytest

from e2.benchmarks.studies import batch_size
from e2.benchmarks.studies.base import Variant, methods
from e2.benchmarks.studies.controls import POOLED, SAME_WEIGHT
from e2.benchmarks.studies.curves import learning_curves
from e2.benchmarks.studies.modules import SWITCHES
from e2.benchmarks.studies.registry import STUDIES, study_named
from e2.benchmarks.studies.runs import _weights_digest, training_config
from e2.benchmarks.studies.trained import TrainedStudy, chosen
from e2.config import TrainConfig
from e2.errors import InputError
from e2.files import file_sha256
from e2.methods import method_class
from e2.settings import merged

TRAINED = [name for name in STUDIES if isinstance(study_named(name), TrainedStudy)]


@pytest.mark.parametrize("name", TRAINED)
def test_variants_have_valid_settings_and_stand_after_those_they_are_set_against(context, name):
    weights = {"pretrained": "weights.pt"} if name == "forgetting" else {}
    context = dataclasses.replace(context, common=merged(context.common, weights), old_data=context.data[0])
    variants = study_named(name).variants(context)
    labels = [variant.label for variant in variants]
    assert len(set(labels)) == len(labels) > 1 and study_named(name).name == name
    configs = [training_config(context, variant, 0) for variant in variants]
    assert all(a != b for place, a in enumerate(configs) for b in configs[:place])
    for place, variant in enumerate(variants):
        assert set(variant.against) <= set(labels[:place])


def test_unknown_study_names_those_that_are():
    with pytest.raises(InputError, match="unknown study 'nope'; choose one of main, controls"):
        study_named("nope")


def test_chosen_keeps_the_order_and_refuses_unknown_labels(context):
    variants = study_named("main").variants(context)
    assert [variant.label for variant in chosen(variants, ("e2", "clip"))] == ["clip", "e2"]
    with pytest.raises(InputError, match="--variants x: this study has clip"):
        chosen(variants, ("x",))


def test_a_control_has_the_tags_weight_where_e2_contrasts_them_twice(context):
    assert SAME_WEIGHT not in {variant.label for variant in study_named("controls").variants(context)}
    weights = dataclasses.replace(context, common=merged(context.common, {"pretrained": "openai"}))
    variants = {variant.label: variant for variant in study_named("controls").variants(weights)}
    assert training_config(weights, variants[SAME_WEIGHT], 0).loss.region_weight == 0.6
    assert SAME_WEIGHT in variants["e2"].against


def test_switch_that_is_the_default_is_left_out(context):
    labels = {variant.label for variant in study_named("modules").variants(context)}
    default = training_config(context, study_named("modules").variants(context)[0], 0).model.selector
    assert default in SWITCHES and default not in labels
    assert {"without-tokens", "without-region-loss", "diagonal-targets"} <= labels


@pytest.mark.parametrize(
    ("pretrained", "default", "other"),
    [(None, {"local", "stream"}, {"patches", "pooled"}), ("openai", {"patches", "pooled"}, {"local", "stream"})],
)
def test_the_default_layout_goes_by_the_weights(context, pretrained, default, other):
    context = dataclasses.replace(context, common=dataclasses.replace(context.common, pretrained=pretrained))
    labels = {variant.label for variant in study_named("modules").variants(context)}
    assert other <= labels and not default & labels


def test_controls_have_the_parameters_of_e2(context):
    found = {variant.label: training_config(context, variant, 0) for variant in study_named("controls").variants(context)}
    plain = {"clip", "multifield", "clip-longer", "multifield-longer"}
    assert set(found) == {*plain, *POOLED, *(f"{name}-uniform" for name in POOLED), "e2"}
    assert {label for label, config in found.items() if method_class(config.method).uses_tokens} == set(found) - plain
    assert {label for label, config in found.items() if config.model.selector == "uniform"} == {
        f"{name}-uniform" for name in POOLED
    }


@pytest.mark.parametrize(
    ("length", "times", "longer"),
    [
        ({}, 2.5, (25.0, None)),
        ({"epochs": 2.0}, 2.5, (5.0, None)),
        ({"steps": 5}, 2.5, (None, 12)),
        ({"steps": 5}, 3.0, (None, 15)),
    ],
)
def test_plain_controls_are_also_trained_longer(context, length, times, longer):
    context = dataclasses.replace(context, common=merged(TrainConfig(), length), longer=times)
    variants = {variant.label: variant for variant in study_named("controls").variants(context)}
    configs = [training_config(context, variants[f"{name}-longer"], 0) for name in ("clip", "multifield")]
    assert [(config.method, config.epochs, config.steps) for config in configs] == [
        ("clip", *longer),
        ("multifield", *longer),
    ]
    assert {"clip-longer", "multifield-longer"} <= set(variants["e2"].against)


def test_weights_in_folders_decide_a_run_and_the_cache_does_not(context, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    plain = training_config(context, Variant("clip", {"method": "clip"}), 0)
    named = dataclasses.replace(plain, backbone=f"local-dir:{tmp_path}")
    assert _weights_digest(plain) is None and _weights_digest(named) == file_sha256(tmp_path / "weights.safetensors")
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"more")
    pair = dataclasses.replace(plain, backbone=f"pair:ViT-B-32@{tmp_path / 'weights.safetensors'}+transformers:{tmp_path}")
    assert len({_weights_digest(named), _weights_digest(pair), file_sha256(tmp_path / "weights.safetensors")}) == 3


def test_groups_need_two_entities(context):
    single = dataclasses.replace(context, common=merged(context.common, {"data": {"tags": ["brand"]}}))
    with pytest.raises(InputError, match="two or more"):
        study_named("groups").variants(single)


def test_batch_sizes_see_equally_many_products(context):
    long = dataclasses.replace(context, common=merged(context.common, {"steps": 48}))
    configs = [training_config(long, variant, 0) for variant in study_named("batch-size").variants(long)]
    assert {(config.data.batch_size, config.steps) for config in configs} == {(16, 12), (32, 6)}  # of 60 products
    same = dataclasses.replace(long, common=merged(long.common, {"data": {"batch_size": 32}}))
    plain = [training_config(same, variant, 0) for variant in methods("clip", "multifield", "e2")]
    assert plain == [training_config(same, v, 0) for v in study_named("batch-size").variants(same) if v.x == 32]
    by_epochs = dataclasses.replace(context, common=merged(context.common, {"steps": None, "epochs": 2.0}))
    assert batch_size.products_seen(by_epochs) == 120


def test_curves_of_batch_sizes_run_over_products_seen():
    sizes = {"small": {"data.batch_size": 2}, "common": {}}
    record = {
        "model": {"data": {"batch_size": 8}},
        "variants": {label: {"settings": settings} for label, settings in sizes.items()},
        "runs": [{"variant": "small", "history": [[4, 10.0], [8, 20.0]]}, {"variant": "common", "history": [[2, 30.0]]}],
    }
    assert learning_curves(record) == ("products seen", {"small": [[(8, 10.0), (16, 20.0)]], "common": [[(16, 30.0)]]})
    sizes["small"].clear()
    assert learning_curves(record) == ("step", {"small": [[(4, 10.0), (8, 20.0)]], "common": [[(2, 30.0)]]})


def test_paper_keeps_its_own_rates_for_pretrained_weights_only(context):
    paper = study_named("main").variants(context)[-1]
    assert training_config(context, paper, 0).optim == context.common.optim
    weights = dataclasses.replace(context, common=merged(context.common, {"pretrained": "weights.pt"}))
    config = training_config(weights, study_named("main").variants(weights)[-1], 0)
    assert (config.optim.lr, config.optim.new_only) == (5e-5, 0.2) and config.model.reader == "paper"
    assert (config.data.batch_size, config.data.text) == (4, "caption")  # the budget stays that of the others
