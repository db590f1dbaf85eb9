"""The losses against plain loops over their definitions, gradients included."""

import math

import torch
from torch.nn.functional import normalize
from torch.testing import assert_close

from e2.losses import contrastive_loss, label_aware_loss, region_loss

SCALE = torch.tensor(7.0)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def naive_label_aware(features, classes, targets, scale):
    """Log-probabilities pair by pair, in words: photo to its text, and text to each of its photos."""
    cosine = [[float(scale) * normalize(f, dim=0) @ normalize(c, dim=0) for c in classes] for f in features]
    photos, texts = range(len(features)), range(len(classes))
    to_text = [-(cosine[i][targets[i]] - torch.logsumexp(torch.stack(cosine[i]), 0)) for i in photos]
    to_photo = []
    for c in texts:
        column = torch.stack([cosine[i][c] for i in photos])
        right = [i for i in photos if targets[i] == c]
        to_photo.append(-sum(column[i] - torch.logsumexp(column, 0) for i in right) / len(right))
    return (sum(to_text) / len(to_text) + sum(to_photo) / len(to_photo)) / 2


def same(function, naive, *inputs):
    ours, theirs = function(*inputs), naive(*inputs)
    assert_close(ours, theirs)
    leaves = [t for t in inputs if t.requires_grad]
    for mine, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        assert_close(mine, other)


def test_label_aware_loss_equals_the_loop():
    targets = torch.tensor([0, 2, 2, 1, 2])
    same(label_aware_loss, naive_label_aware, draw(5, 8), draw(3, 8, seed=1), targets, SCALE)


def test_without_doubled_tags_it_is_the_plain_contrastive_loss():
    features, classes = draw(6, 8), draw(6, 8, seed=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    plain = contrastive_loss(features, classes[order], SCALE)
    assert_close(label_aware_loss(features, classes, order, SCALE), plain)


def test_losses_do_not_depend_on_the_features_length():
    features, classes = draw(4, 8), draw(4, 8, seed=1)
    stretched = contrastive_loss(features * torch.tensor([[1.0], [5], [0.1], [3]]), classes * 9, SCALE)
    assert_close(stretched, contrastive_loss(features, classes, SCALE))


def test_a_shared_tag_costs_nothing_to_a_perfect_model_only_when_it_is_a_positive():
    tag = torch.eye(8)[[0, 0, 1, 1]]
    perfect = tag[:, None]  # (B, 1, D), regions equal to their tag text
    index = torch.tensor([[0], [0], [1], [1]])
    label_aware = region_loss(perfect, torch.eye(8)[:2], index, torch.tensor(1000.0))
    diagonal = region_loss(perfect, torch.eye(8)[:2], index, torch.tensor(1000.0), same_tag_positive=False)
    # Towards the photos, a text's probability is shared by its two photos: log 2, half of the symmetric loss.
    assert_close(label_aware, torch.tensor(math.log(2) / 2))
    assert_close(diagonal, torch.tensor(math.log(2)))


def test_missing_tags_leave_their_photo_out_of_that_entity_only():
    regions, texts = draw(4, 2, 8), draw(5, 8, seed=1)
    index = torch.tensor([[0, 2], [-1, 3], [1, -1], [0, 4]])
    first = label_aware_loss(regions[[0, 2, 3], 0], texts[:2], torch.tensor([0, 1, 0]), SCALE)
    second = label_aware_loss(regions[[0, 1, 3], 1], texts[2:], torch.tensor([0, 1, 2]), SCALE)
    loss = region_loss(regions, texts, index, SCALE)
    assert_close(loss, (first + second) / 2)
    gradient = torch.autograd.grad(loss, regions)[0]
    assert gradient[1, 0].abs().sum() == 0 and gradient[2, 1].abs().sum() == 0
    assert gradient[1, 1].abs().sum() > 0


def test_an_entity_without_any_tag_does_not_count_and_none_at_all_is_zero():
    regions, texts = draw(3, 2, 8), draw(3, 8, seed=1)
    index = torch.tensor([[0, -1], [1, -1], [2, -1]])
    assert_close(region_loss(regions, texts, index, SCALE), contrastive_loss(regions[:, 0], texts, SCALE))
    nothing = region_loss(regions, texts, torch.full((3, 2), -1), SCALE)
    assert nothing == 0
    nothing.backward()
    assert regions.grad.abs().sum() == 0
