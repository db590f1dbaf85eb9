"""Patches that a pre-trained tower uses as registers."""

import pytest
import torch

import e2
from e2.locations import PatchLocations
from e2.towers import open_tower

LOUD = torch.tensor([1, 6, 11])  # patches that are registers, of 16


@pytest.fixture(params=["hidden", "read"])
def model(request, tiny):
    torch.manual_seed(0)
    return e2.create_model_and_transforms(tiny, tags=("brand",), locations="patches", registers=request.param)[0].eval()


def test_registers_are_the_patches_of_an_outstanding_norm(model):
    patches = torch.nn.functional.normalize(torch.randn(2, 16, 8), dim=-1) * torch.linspace(0.8, 1.5, 16)[:, None]
    patches[0, LOUD] *= 5
    class_token = torch.full((2, 1, 8), 9.0)  # the loudest, but no patch
    patches = torch.cat([class_token, patches], dim=1)
    locations = PatchLocations(open_tower(model.visual), hide_registers=True)
    assert locations.hidden(patches)[0].nonzero().flatten().equal(LOUD)
    assert not locations.hidden(patches)[1].any()
    assert locations.hidden(1000 * patches).equal(locations.hidden(patches))  # whatever the scale
    assert PatchLocations(open_tower(model.visual), hide_registers=False).hidden(patches) is None


def test_tokens_choose_no_register_unless_told_to_read_them(model):
    louder = torch.ones(17, 1)
    louder[1 + LOUD] = 20
    last = max(model.reader.layers)
    model.visual.transformer.resblocks[last - 1].register_forward_hook(
        lambda block, inputs, stream: stream * louder if stream.shape[1] == 17 else stream  # the tokens pass, too
    )
    chosen = model.reader(open_tower(model.visual), torch.randn(3, 3, 32, 32)).selections[last]
    assert chosen.shape == (3, 2, 16)
    assert bool(chosen[..., LOUD].any()) == (model.config.registers == "read")
    assert (chosen[..., [0, 2, 15]] > 0).all()
