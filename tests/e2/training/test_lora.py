"""Low-rank changes of frozen towers: nothing to begin with, the only thing that learns, plain weights in the end."""

import re

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import e2
from e2.checkpoint import weights_of
from e2.config import OptimConfig
from e2.errors import InputError
from e2.locking import BLOCK
from e2.training.lora import low_rank_parameters, merged_weights
from e2.training.optim import freeze_towers
from tests.conftest import TAGS
from tests.e2.training.stops import last_weights, resumed_weights

BOTH = OptimConfig(image_lora=2, text_lora=3)


def matrices(name: str, value: torch.Tensor) -> bool:
    return value.ndim == 2 and BLOCK.search(name)


def tokens_of(model) -> torch.Tensor:
    return torch.randint(1, 8, (2, model.context_length))


@pytest.fixture(params=["open_clip", "timm", "bert"])
def untouched(request, tiny, siglip, bert):
    names = {"open_clip": tiny, "timm": f"local-dir:{siglip}", "bert": f"pair:local-dir:{siglip}+transformers:{bert}"}
    name = names[request.param]
    make = lambda: (torch.manual_seed(0), e2.create_model_and_transforms(name, tags=TAGS)[0].eval())[1]  # noqa: E731
    return make(), make()


@torch.no_grad()
def test_it_starts_at_zero_and_equals_plain_weights_once_merged(untouched):
    plain, model = untouched
    images, tokens = torch.randn(2, 3, 32, 32), tokens_of(model)

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
    learning = {
        id(p) for p in (*low_rank_parameters(model), *model.new_parameters(), *model.fresh_parameters(), model.logit_scale)
    }
    learning.add(id(model.logit_bias))
    assert {name for name, p in model.named_parameters() if p.requires_grad != (id(p) in learning)} == set()
    freeze_towers(plain, OptimConfig(image_lora=2))
    assert {p.requires_grad for name, p in plain.clip.named_parameters() if not name.startswith("visual.")} == {True}


def test_linear_layers_compute_what_peft_does_and_frozen_weights_stay_which_peft_changes(untouched):
    """Peft changes the weights of PyTorch's attention for each pass and subtracts its change afterwards. The change of the
    output projection it adds twice (0.21), so that is left at zero here. When it does neither, it can replace our code.
    """
    peft = pytest.importorskip("peft", reason="peft is not part of the test extra")
    theirs, ours = (model.clip for model in untouched)
    freeze_towers(untouched[1], OptimConfig(image_lora=2, text_lora=2))
    start = {name: p.clone() for name, p in theirs.named_parameters()}
    kinds = (nn.Linear, nn.MultiheadAttention)
    layers = [name for name, part in theirs.named_modules() if BLOCK.search(name) and type(part) in kinds]
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, lora_alpha=2, target_modules=layers), theirs)
    pairs, changes = [], {name: p for name, p in ours.named_parameters() if name.endswith((".up", ".down"))}
    for name, p in changes.items():
        layer = re.sub(r"\.(low_rank|parametrizations\.\w+\.0)\.(up|down)", "", name)
        layer = layer.replace(".attn.out_proj", ".attn.base_layer.out_proj")
        pairs.append((p, theirs.get_parameter(f"{layer}.lora_{'B' if name.endswith('up') else 'A'}.default.weight")))
        nn.init.normal_(p, std=0.0 if "attn.out_proj" in name else 0.1)
        pairs[-1][1].data.copy_(p)
    assert len(pairs) == sum("lora_" in name for name, _ in theirs.named_parameters()) > 0
    images, tokens = torch.randn(2, 3, 32, 32), tokens_of(untouched[0])
    for _ in range(5):
        seen = [model.encode_image(images).sum() + model.encode_text(tokens).sum() for model in (ours, theirs)]
        assert_close(*seen)
    for loss in seen:
        loss.backward()
    for left, right in pairs:
        assert_close(left.grad, right.grad)
    kept = {re.sub(r"parametrizations\.|\.original$", "", name): p for name, p in ours.named_parameters()}
    assert all(torch.equal(kept[name], p) for name, p in start.items())
    theirs_now = {name.replace(".base_layer", ""): p for name, p in theirs.named_parameters()}
    moved = {name for name, p in start.items() if not torch.equal(theirs_now[name], p)}
    assert bool(moved) == any(type(part) is nn.MultiheadAttention for part in theirs.modules())
    assert all("attn.in_proj_weight" in name for name in moved)


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
