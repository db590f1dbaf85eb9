"""Schedules, rates by layer, the average of the weights, the weights that a run keeps, and the dry run."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import e2
from e2.checkpoint import LAST, read_metadata
from e2.config import OptimConfig
from e2.data import open_catalogue
from e2.data.images import load_image
from e2.errors import TrainingStopped
from e2.training import dry_run
from e2.training.average import WeightAverage
from e2.training.optim import make_optimizer, rate_factor
from e2.training.prepare import prepare
from e2.training.run import resolve, start_run
from e2.training.splits import with_data
from tests.command import contents, run_command
from tests.conftest import TAGS
from tests.e2.training.stops import pull_out

OPTIONS = {"data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "device": "cpu", "eval_every": 4}


def run(shop, tiny, out, *settings, resume=False, overwrite=False, **options):
    options = {**OPTIONS, "data.data": str(shop), "backbone": tiny, "steps": 8, **options}
    return start_run(out, options, settings=settings, resume=resume, overwrite=overwrite)


def same(left, right) -> bool:
    left, right = load_file(left), load_file(right)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ("constant", {3: 1, 40: 1, 99: 1}),
        ("linear", {3: 1, 4: 1, 28: 0.75, 52: 0.5, 76: 0.25}),
        ("cosine", {3: 1, 4: 1, 52: 0.5, 76: 0.1464}),
        ("cooldown", {3: 1, 40: 1, 90: 1, 95: 0.5, 99: 0.1}),
    ],
)
def test_schedules_rise_alike_and_fall_as_named(schedule, at):
    for step, share in {0: 0.25, **at}.items():
        assert rate_factor(step, 100, 0.04, 0.0, schedule, 0.1) == pytest.approx(share, abs=1e-4)
        if step > 4:
            assert rate_factor(step, 100, 0.04, 0.5, schedule, 0.1) == pytest.approx(0.5 + share / 2, abs=1e-4)


TOWERS = {  # backbone -> blocks above a parameter
    "test-tiny": {
        "visual.conv1.weight": 5,
        "visual.transformer.resblocks.0.mlp.c_fc.weight": 4,
        "visual.transformer.resblocks.3.mlp.c_fc.weight": 1,
        "visual.proj": 0,
        "token_embedding.weight": 3,
        "transformer.resblocks.1.ln_1.weight": 1,
        "text_projection": 0,
        "logit_scale": 0,
    },
    "siglip": {
        "visual.trunk.patch_embed.proj.weight": 5,
        "visual.trunk.blocks.0.norm1.weight": 4,
        "visual.trunk.attn_pool.latent": 0,
        "text.token_embedding.weight": 3,
        "text.transformer.resblocks.0.mlp.c_fc.weight": 2,
    },
}


@pytest.mark.parametrize("backbone", TOWERS)
def test_rates_fall_from_block_to_block_towards_the_pixels(tiny, siglip, backbone):
    name = f"local-dir:{siglip}" if backbone == "siglip" else tiny
    model, _, _ = e2.create_model_and_transforms(name, tags=TAGS)
    optimizer = make_optimizer(model, OptimConfig(lr=1.0, new_lr=2.0, layer_decay=0.5), pretrained=True)
    rates = {id(p): group["peak_lr"] for group in optimizer.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    for parameter, above in TOWERS[backbone].items():
        assert rates[id(named[parameter])] == 0.5**above, parameter
    assert {rates[id(p)] for p in model.new_parameters()} == {2.0}
    assert optimizer.param_groups[0]["peak_lr"] == 1.0  # the one that the log shows


def test_the_average_is_the_one_that_a_naive_sum_gives():
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    module.bias.requires_grad_(False)
    average, expected, bias = WeightAverage(module, 0.3), module.weight.detach().clone(), module.bias.clone()
    for step in range(1, 6):
        with torch.no_grad():
            module.weight += torch.randn(2, 3)
        average.update(step)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    weight = module.weight.detach().clone()
    with average.in_place():
        torch.testing.assert_close(module.weight.detach(), expected)
        assert torch.equal(module.bias, bias)
    assert torch.equal(module.weight, weight)


def test_the_average_is_what_is_validated_and_saved_and_resumed(shop, tiny, tmp_path, monkeypatch):
    run(shop, tiny, tmp_path / "plain", **{"optim.lr": 1e-2})
    run(shop, tiny, tmp_path / "through", **{"optim.lr": 1e-2, "optim.ema": 0.9})
    assert not same(tmp_path / "plain" / LAST, tmp_path / "through" / LAST)
    pull_out(monkeypatch, before=6)
    with pytest.raises(TrainingStopped, match="pulled out"):
        run(shop, tiny, tmp_path / "broken", **{"optim.lr": 1e-2, "optim.ema": 0.9})
    monkeypatch.undo()
    resumed = run(shop, tiny, tmp_path / "broken", resume=True)
    assert same(tmp_path / "through" / LAST, tmp_path / "broken" / LAST)
    assert resumed["history"] == json.loads((tmp_path / "through" / "summary.json").read_text())["history"]


def test_every_nth_step_is_kept_loads_and_makes_way_for_a_new_run(shop, tiny, tmp_path):
    out = tmp_path / "run"
    run(shop, tiny, out, keep_every=3, method="clip")
    kept = [out / f"step-{step:08d}.safetensors" for step in (3, 6)]
    assert sorted(out.glob("step-*")) == kept
    assert [read_metadata(file).get("step") for file in kept] == ["3", "6"]
    assert not same(*kept) and e2.load(kept[0])[0].tags == ()
    run(shop, tiny, out, overwrite=True, method="clip")
    assert not list(out.glob("step-*"))


def test_a_kept_step_starts_another_run_with_a_fresh_optimizer(shop, tiny, tmp_path):
    run(shop, tiny, tmp_path / "first", keep_every=4)
    start = tmp_path / "first" / "step-00000004.safetensors"
    run(
        shop, tiny, tmp_path / "second", pretrained=str(start), steps=1, eval_every=1, **{"optim.lr": 0.0, "optim.new_lr": 0.0}
    )
    left, right = load_file(start), load_file(tmp_path / "second" / LAST)
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_second_catalogue_is_measured_beside_val(shop, tiny, tmp_path):
    out = tmp_path / "run"
    answer = run_command(*LINE.split(), "--data", shop, "--set", f"data.second={shop}", "--out", out)
    assert answer.status == 0 and "second catalogue: SumR" in answer.err, answer
    summary = json.loads((out / "summary.json").read_text())
    found = next(entry for entry in summary["history"] if entry["step"] == summary["step"])
    seen = {name.removeprefix("second_"): value for name, value in found.items() if name.startswith("second_")}
    accuracy = seen.pop("tag_accuracy")
    assert seen == {name: found[name] for name in seen} and len(seen) == 7  # here it is the same catalogue
    with open(out / "log.csv") as file:
        logged = [row["second_tag_accuracy"] for row in csv.DictReader(file) if row["SumR"]]
    assert [float(value) for value in logged] == pytest.approx(
        [entry["second_tag_accuracy"] for entry in summary["history"]], rel=1e-4
    )
    model, preprocess, tokenizer = e2.load(out)
    val = open_catalogue(str(shop), "val", tags=("brand",), progress=False)
    products = [product for product in val if "brand" in product.values]
    assert 0 < len(products) < len(val)
    brands = sorted({brand for product in products for brand in product.values["brand"]})
    texts, right = model.encode_text(tokenizer(brands), normalize=True), 0
    for product in products:
        photo = model.encode_image(preprocess(load_image(product.images[0]))[None], normalize=True)
        right += brands[int((photo @ texts.T).argmax())] in product.values["brand"]
    assert accuracy == pytest.approx(100 * right / len(products))


LINE = "train --backbone test-tiny --batch-size 16 --steps 8 --device cpu --workers 0 --tags brand"


def test_a_dry_run_takes_a_step_and_writes_nothing(shop, tiny, tmp_path):
    answer = run_command(*LINE.split(), "--data", shop, "--dry-run", "--json", "--out", tmp_path / "run")
    assert answer.status == 0, answer
    found = json.loads(answer.out)
    assert not list(tmp_path.iterdir())
    parameters = 4 * found["parameters"]
    assert (found["train_products"], found["val_products"], found["steps"], found["batch_size"]) == (60, 12, 8, 16)
    assert parameters <= found["bytes"]["weights"] < 1.1 * parameters
    assert 2 * found["bytes"]["gradients"] <= found["bytes"]["moments"] < found["bytes"]["peak"]
    assert found["bytes"]["average"] == 0 < found["loss"]
    lines = run_command(*LINE.split(), "--data", shop, "--dry-run", "--out", tmp_path / "run").out.splitlines()
    assert lines[0] == "60 products to train on, 12 to validate" and max(map(len, lines)) <= 100
    assert lines[-1].startswith("ready")


def test_a_long_step_is_tried_on_a_few_products(shop, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "LONG", 0)
    line = [*LINE.split(), "--data", shop, "--dry-run", "--out", tmp_path / "run"]
    found, chunked = (json.loads(run_command(*line, "--json", *more).out) for more in ([], ["--chunk-size", 8]))
    assert (found["step_products"], found["batch_size"], found["steps"]) == (dry_run.FEW, 16, 8) and found["loss"] > 0
    assert found["bytes"]["peak"] > found["bytes"]["moments"] and chunked["step_products"] == dry_run.FEW
    lines = run_command(*line).out.splitlines()
    assert "peak of a step about" in lines[3] and lines[4].startswith("first step: of 4 products, loss")
    assert "one of 16 takes about" in lines[4] and max(map(len, lines)) <= 100
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(dry_run, "memory", lambda: 1)
    assert "more than the 1 MB of this machine: lower --batch-size or give --chunk-size" in run_command(*line).out


def test_what_the_forward_pass_keeps_grows_with_the_products(shop, tiny, tmp_path):
    config, train_data, val_data = with_data(resolve({**OPTIONS, "data.data": str(shop), "backbone": tiny}, None, []))
    started = prepare(config, train_data, val_data, tmp_path / "run")
    few, more, twice = (dry_run.kept_bytes(started, products) for products in (4, 8, 12))
    assert 0 < few < more < twice and twice - more == pytest.approx(more - few, rel=0.2)
    saved = {p.untyped_storage().data_ptr(): 0 for p in started.method.parameters()}

    def note(tensor):
        saved.setdefault(tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes())
        return tensor

    part, batch = dry_run.loaded(started, 8)
    dry_run.draw_noise(part, batch)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = started.method.features(batch)
    assert features and 0.5 * sum(saved.values()) < more < 2 * sum(saved.values())  # counted in another way


@pytest.mark.parametrize(
    ("further", "message"),
    [
        (["--set", "data.image_column=photo"], "no column 'photo'"),
        (["--pretrained", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--set", "optim.layer_decay=0"], "must be above 0"),
        (["--set", "optim.ema=1"], "must be below 1"),
        (["--set", "optim.schedule=steps"], "unknown schedule 'steps'"),
    ],
)
def test_a_dry_run_tells_what_would_end_the_run(shop, tiny, tmp_path, further, message):
    answer = run_command(*LINE.split(), "--data", shop, "--dry-run", "--out", tmp_path / "run", *further)
    assert answer.status == 2 and message in answer.line
    assert not list(tmp_path.iterdir())


def test_a_dry_run_leaves_what_others_wrote(shop, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    before = contents(tmp_path / "run")
    answer = run_command(*LINE.split(), "--data", shop, "--dry-run", "--out", tmp_path / "run")
    assert answer.status == 2 and "other files" in answer.line and contents(tmp_path / "run") == before


def test_a_quick_look_decodes_the_first_photos_only(shop, tmp_path, monkeypatch):
    checked = []
    monkeypatch.setenv("E2_CACHE", str(tmp_path))
    monkeypatch.setattr("e2.data.check.check_image", checked.append)
    open_catalogue(str(shop), "train", progress=False, most_photos=3)
    assert len(checked) == 3
    open_catalogue(str(shop), "train", progress=False)  # the verdict on a few is not taken for that on all
    assert len(checked) == 3 + 60
