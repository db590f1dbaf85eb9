"""Numbers that are none are refused in one line by all that ranks, compares or averages; trained ones never get so far."""

import contextlib
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import e2
from e2.adapters.captioning import fit_captioner
from e2.adapters.captioning.model import CaptionModel
from e2.adapters.composed import fit_composer, lincir, make_composer, oti, pic2word, searle
from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.oti import OtiConfig
from e2.adapters.encoder import load_encoder
from e2.benchmarks.composed import metrics as composed
from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.benchmarks.core.records import metrics_record
from e2.benchmarks.gap import metrics as gap
from e2.benchmarks.probe.metrics import fit_probe
from e2.data import open_catalogue
from e2.errors import TrainingStopped
from e2.finite import NotFinite
from e2.methods.clip import Clip
from e2.ranks import candidate_ranks, cross_modal_ranks, query_ranks
from e2.training.prepare import prepare
from e2.training.run import resolve, start_run
from e2.training.splits import open_splits
from e2.training.step import clip_gradients, read
from e2.training.validation import sum_recalls
from tests.benchmarks.stubs import Shelf, colour_encoder, png
from tests.conftest import TAGS

GOOD, ROWS = torch.eye(4), torch.arange(4)
ANSWERS = [np.array([row]) for row in range(4)]


def record(metrics: torch.Tensor) -> None:
    named = {str(i): float(value) for i, value in enumerate(metrics.sum(dim=1))}
    metrics_record("b", "p", Shelf([]), text="caption", seed=0, model={}, metrics=named, ci95={}, seconds=0.0)


def encode(images: torch.Tensor) -> None:
    encoder = colour_encoder("runs/a", batch_size=4)
    encoder.model.encode_image = lambda pixels: images
    encoder.encode_images([png("red")] * len(images), progress=False)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "use",
    [
        lambda x: cross_modal_ranks(x, GOOD, ROWS, ROWS),
        lambda x: cross_modal_ranks(GOOD, x, ROWS, ROWS),
        lambda x: query_ranks(x, GOOD, ROWS, ROWS),
        lambda x: query_ranks(GOOD, x, ROWS, ROWS),
        lambda x: candidate_ranks(x, GOOD, ROWS, ROWS[:, None]),
        lambda x: candidate_ranks(GOOD, x, ROWS, ROWS[:, None]),
        lambda x: sum_recalls(x, x, ROWS),
        lambda x: composed.find(x, GOOD, ANSWERS),
        lambda x: composed.find(GOOD, x, ANSWERS),
        lambda x: composed.best_rows(GOOD, x, 2),
        lambda x: fit_probe(x.numpy(), ROWS.numpy(), GOOD.numpy(), ROWS.numpy()),
        lambda x: fit_probe(GOOD.numpy(), ROWS.numpy(), x.numpy(), ROWS.numpy()),
        lambda x: gap.figures(x.numpy(), GOOD.numpy()),
        lambda x: gap.figures(GOOD.numpy(), x.numpy()),
        lambda x: resampled_means([Measure(x.numpy(), ROWS.numpy())], resamples=2),
        record,
        encode,
    ],
)
def test_all_that_compares_refuses_what_is_not_finite(use, number):
    use(GOOD)
    bad = GOOD.clone()
    bad[1, 2] = number
    with pytest.raises(NotFinite, match=r"^1 of 4 .* are not finite; check the weights and --precision$"):
        use(bad)


def train(shop, tiny, out, **options):
    fixed = {"data.data": str(shop), "data.tags": ",".join(TAGS), "backbone": tiny, "data.workers": 0, "device": "cpu"}
    return start_run(out, {**fixed, "method": "clip", "data.batch_size": 16, "steps": 4, **options})


def test_a_model_whose_features_are_not_finite_is_no_checkpoint(shop, tiny, tmp_path, capsys):
    with pytest.raises(TrainingStopped, match="validation at step 1: 12 of 12 image features are not finite; none was saved"):
        train(shop, tiny, tmp_path / "run", **{"optim.lr": 1e30, "eval_every": 1})
    assert "best" not in capsys.readouterr().err and not list((tmp_path / "run").glob("*.safetensors"))


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(shop, tiny, tmp_path, monkeypatch):
    losses, seen = Clip.losses, []

    def with_an_edge(method, features, batch):
        """From the third step on a term whose value is 0 and whose slope is infinite."""
        seen.append({name: p.detach().clone() for name, p in method.named_parameters()})
        edge = method.model.clip.token_embedding.weight.sum().mul(0).sqrt() if len(seen) > 2 else 0.0
        found = losses(method, features, batch)
        return {**found, "global_loss": found["global_loss"] + edge}

    monkeypatch.setattr(Clip, "losses", with_an_edge)
    stopped = r"gradient is not finite at step 2: model.token_embedding.weight; the best checkpoint \(step 2\)"
    with pytest.raises(TrainingStopped, match=stopped):
        train(shop, tiny, tmp_path / "run", eval_every=1)
    kept = e2.load(tmp_path / "run")[0].state_dict()
    assert all(torch.equal(kept[name.removeprefix("model.")], value) for name, value in seen[-1].items())


@pytest.mark.parametrize("scaled", [False, True])
def test_only_the_scaler_of_fp16_may_leave_out_a_step(shop, tiny, tmp_path, scaled):
    config = resolve(
        {"data.data": str(shop), "backbone": tiny, "method": "clip", "device": "cpu", "data.workers": 0}, None, []
    )
    run = prepare(config, *open_splits(config), tmp_path / "run")
    run.accelerator.scaler, run.watch.may_skip = object() if scaled else None, scaled
    run.accelerator.unscale_gradients = lambda: None
    for p in run.method.parameters():
        p.grad = torch.full_like(p, float("nan") if p.ndim == 0 else 1.0)
    with contextlib.nullcontext() if scaled else pytest.raises(TrainingStopped, match="model.logit_scale; none was saved"):
        clip_gradients(run, {"global_loss": torch.zeros(())})
        assert math.isnan(read(run).norm)
    assert run.watch.broken == (not scaled)


STEPS = 3
PHRASES = {"red": ["a red tee", "red shoes"], "blue": ["a blue tee in a shop"]}
SMALL = {"width": 16, "layers": 1, "heads": 2, "vocabulary": 120, "batch_size": 16, "steps": STEPS, "progress": False}
QUICK = {"config": FitConfig(steps=STEPS, batch_size=8, evaluations=1), "progress": False}


@pytest.fixture(scope="module")
def encoder(tiny):
    return load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)


def search_by_inversion(encoder, products, out):
    composer = make_composer("searle-oti", encoder, phrases=PHRASES)
    composer.oti = OtiConfig(steps=STEPS)
    composer.compose([png("red")] * 4, ["is blue"] * 4)


# What trains -> how, and the function whose loss is spoiled.
TRAININGS = {
    "decap": (lambda *given: fit_captioner("decap", *given, **SMALL), CaptionModel, "forward"),
    "capdec": (lambda *given: fit_captioner("capdec", *given, **SMALL), CaptionModel, "forward"),
    "lincir": (lambda *given: fit_composer("lincir", *given, **QUICK), lincir, "lincir_loss"),
    "pic2word": (lambda *given: fit_composer("pic2word", *given, **QUICK), pic2word, "pic2word_loss"),
    "searle": (
        lambda *given: fit_composer("searle", *given, phrases=PHRASES, oti=OtiConfig(steps=2), **QUICK),
        *(searle, "searle_loss"),
    ),
    "searle-oti": (search_by_inversion, oti, "oti_losses"),
}


@pytest.mark.parametrize("spoiled", ["gradient", "held-out loss"])
@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_ends_well_with_numbers_that_are_none(name, spoiled, encoder, shop, tmp_path, monkeypatch):
    """At the last step, after which no loss of training would tell."""
    if spoiled == "held-out loss" and name == "searle-oti":
        pytest.skip("has none")
    train, owner, loss = TRAININGS[name]
    plain, calls = getattr(owner, loss), []

    def with_a_fault(*given, **options):
        found = plain(*given, **options)
        if not torch.is_grad_enabled():
            return found * float("nan") if spoiled == "held-out loss" else found
        calls.append(found)
        last = spoiled == "gradient" and len(calls) == STEPS
        return found + found.sum().mul(0).sqrt() if last else found  # adds 0, and a slope that is infinite

    monkeypatch.setattr(owner, loss, with_a_fault)
    said = "(gradient is|are) not finite" if spoiled == "gradient" else "(held-out|validation) loss after step 3 is nan"
    with pytest.raises((TrainingStopped, NotFinite), match=f"^[^\n]*{said}[^\n]*$"):
        train(encoder, open_catalogue(str(shop), "train"), tmp_path / "out")
    assert not list(tmp_path.glob("out/*.json"))


def test_a_probe_without_finite_weights_is_refused(monkeypatch):
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, *given, **_: setattr(self, "coef_", np.full((3, 4), np.nan)))
    with pytest.raises(NotFinite, match="3 of 3 classes' weights are not finite"):
        fit_probe(GOOD.numpy(), ROWS.numpy(), GOOD.numpy(), ROWS.numpy())
