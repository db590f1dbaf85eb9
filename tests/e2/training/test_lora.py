"""Low-rank changes of frozen towers: nothing to begin with, the only thing that learns, plain weights in the end."""

import pytest
import torch
from torch.testing import assert_close

import e2
from e2.checkpoint import weights_of
from e2.config import OptimConfig
from e2.errors import InputError
from e2.training.lora import low_rank_parameters, merged_weights
from e2.training.optim import freeze_towers
from tests.conftest import TAGS
from tests.e2.training.stops import last_weights, resumed_weights

BOTH = OptimConfig(image_lora=2, text_lora=3)


def matrices(name: str, value: torch.Tensor) -> bool:
    return value.ndim == 2 and ("blocks." in name or "resblocks." in name)


@pytest.fixture(params=["open_clip", "timm"])
def untouched(request, tiny, siglip):
    name = tiny if request.param == "open_clip" else f"local-dir:{siglip}"
    make = lambda: (torch.manual_seed(0), e2.create_model_and_transforms(name, tags=TAGS)[0].eval())[1]  # noqa: E731
    return make(), make()


@torch.no_grad()
def test_it_starts_at_zero_and_equals_plain_weights_once_merged(untouched):
    plain, model = untouched
    images, tokens = torch.randn(2, 3, 32, 32), torch.randint(1, 70, (2, model.context_length))

    def seen(by):
        return by.encode_image(images), by.encode_regions(images), by.encode_text(tokens)

    freeze_towers(model, BOTH)
    for left, right in zip(seen(plain), seen(model), strict=True):
        torch.testing.assert_close(left, right)  # to the bit on some processors only
    for p in low_rank_parameters(model):
        torch.nn.init.normal_(p, std=0.1)
    start, weights = dict(plain.named_parameters()), merged_weights(weights_of(model))
    assert weights.keys() == plain.state_dict().keys()
    changes = dict(model.named_parameters())
    for name, value in start.items():
        if matrices(name, value):
            owner, _, field = name.rpartition(".")
            beside = f"{owner}.low_rank" if f"{owner}.low_rank.up" in changes else f"{owner}.parametrizations.{field}.0"
            up, down = changes[f"{beside}.up"], changes[f"{beside}.down"]
            assert len(down) == (2 if name.startswith("visual.") else 3)
            assert_close(weights[name], value + up @ down)
        else:
            assert torch.equal(weights[name], value), name
    before = seen(model)
    plain.load_state_dict(weights)
    for left, right in zip(before, seen(plain), strict=True):
        assert_close(left, right)


def test_only_changes_and_what_is_new_learn(untouched):
    plain, model = untouched
    freeze_towers(model, BOTH)
    learning = {id(p) for p in (*low_rank_parameters(model), *model.new_parameters(), model.logit_scale, model.logit_bias)}
    assert {name for name, p in model.named_parameters() if p.requires_grad != (id(p) in learning)} == set()
    freeze_towers(plain, OptimConfig(image_lora=2))
    assert {p.requires_grad for name, p in plain.clip.named_parameters() if not name.startswith("visual.")} == {True}


LORA = "--set optim.image_lora=2 --set optim.text_lora=2 --set optim.new_lr=0.01"


def test_a_run_leaves_a_plain_checkpoint_and_resumes_to_the_same_bits(shop, tiny, tmp_path, monkeypatch):
    weights = last_weights(LORA, shop, tmp_path / "through")
    torch.manual_seed(0)
    start = e2.create_model_and_transforms(tiny, tags=("brand",))[0].state_dict()
    assert weights.keys() == start.keys()
    for name, value in start.items():
        changed = matrices(name, value) and not name.startswith("reader.")
        if changed:
            assert 1 <= torch.linalg.matrix_rank(weights[name] - value, rtol=1e-3) <= 2, name
        elif not name.startswith(("reader.", "logit")):
            assert torch.equal(weights[name], value), name
    e2.load(tmp_path / "through")
    resumed = resumed_weights(LORA, shop, tmp_path / "broken", monkeypatch)
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


def test_a_tower_is_frozen_in_one_way():
    with pytest.raises(InputError, match="optim.text_lora .* optim.text_layers"):
        OptimConfig(text_lora=4, text_layers=1)
