import pytest
import torch
from torch import nn

from e2.local_features import LocalFeatures, channel_plan


@pytest.mark.parametrize(("patch", "side"), [(8, 64), (16, 96), (14, 112), (32, 224)])
def test_there_are_two_locations_along_each_side_of_a_patch(patch, side):
    grid = (side // patch, side // patch)
    local = LocalFeatures(64, patch, grid)
    assert local.grid == (2 * grid[0], 2 * grid[1])
    locations = local(torch.randn(2, 3, side, side))
    assert locations.shape == (2, local.grid[0] * local.grid[1], local.channels)
    assert local.lift(locations).shape == (*locations.shape[:2], 64)


def test_photos_need_not_be_square():
    local = LocalFeatures(64, 8, (6, 4))
    assert local(torch.randn(1, 3, 48, 32)).shape == (1, 12 * 8, local.channels)


def test_a_location_depends_on_what_is_near_only():
    local = LocalFeatures(64, 8, (8, 8)).eval()
    for index, step in enumerate(local.convolutions):  # the norms see the mean and spread of the whole photo
        if isinstance(step, nn.GroupNorm):
            local.convolutions[index] = nn.Identity()
    photo = torch.randn(1, 3, 64, 64, requires_grad=True)
    local(photo)[0, 5 * 16 + 9].pow(3).sum().backward()  # row 5, column 9 of 16: around the corner of pixel (22, 38)
    reached = photo.grad[0].abs().sum(dim=0).nonzero()
    assert reached.min(dim=0).values.tolist() == [13, 29] and reached.max(dim=0).values.tolist() == [30, 46]


def test_channels_grow_to_a_bound_that_keeps_the_block_light():
    assert channel_plan(128, 8) == [32, 64, 64]
    assert channel_plan(768, 32) == [32, 64, 128, 128, 128]
    assert channel_plan(64, 8) == [32, 32, 32]


def test_no_photo_depends_on_its_batch():
    local = LocalFeatures(64, 8, (4, 4)).train()
    photos = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(local(photos)[1:2], local(photos[1:2]))
