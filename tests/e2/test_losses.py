"""The losses against plain loops over their definitions, gradients included."""

import math
from functools import partial

import open_clip
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize, one_hot, softplus
from torch.testing import assert_close

from e2 import losses
from e2.late_interaction import late_interaction_loss
from e2.lookup import lookup
from e2.losses import (
    WHOLE,
    OwnRows,
    centre,
    contrastive_loss,
    distillation_loss,
    jensen_shannon_loss,
    label_aware_loss,
    rolled_negatives,
    sigmoid_loss,
)
from e2.targets import tag_targets

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


def naive_several(features, classes, targets, scale):
    """Label-aware loss by loops, with several texts a photo, each told apart from the texts that are not the photo's."""
    cosine = [[float(scale) * normalize(f, dim=0) @ normalize(c, dim=0) for c in classes] for f in features]
    own = [{int(c) for c in row if c >= 0} for row in targets]
    to_text, to_photo = [], []
    for row, texts in zip(cosine, own, strict=True):
        others = [row[c] for c in range(len(classes)) if c not in texts]
        to_text.append(sum(torch.logsumexp(torch.stack([row[c], *others]), 0) - row[c] for c in texts) / len(texts))
    for c in range(len(classes)):
        column = torch.stack([row[c] for row in cosine])
        right = [i for i, texts in enumerate(own) if c in texts]
        to_photo.append(-sum(column[i] - torch.logsumexp(column, 0) for i in right) / len(right))
    return (sum(to_text) / len(to_text) + sum(to_photo) / len(to_photo)) / 2


SEVERAL = torch.tensor([[0, -1, -1], [2, 3, -1], [2, -1, -1], [1, 0, 3], [2, 0, -1]])  # texts of five photos


def same(function, naive, *inputs):
    ours, theirs = function(*inputs), naive(*inputs)
    assert_close(ours, theirs)
    leaves = [t for t in inputs if t.requires_grad]
    for mine, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(theirs, leaves), strict=True):
        assert_close(mine, other)


def test_label_aware_loss_equals_the_loop():
    targets = torch.tensor([0, 2, 2, 1, 2])
    same(label_aware_loss, naive_label_aware, draw(5, 8), draw(3, 8, seed=1), targets, SCALE)


def test_label_aware_loss_of_several_texts_equals_the_loop():
    same(label_aware_loss, naive_several, draw(5, 8), draw(4, 8, seed=1), SEVERAL, SCALE)


def test_several_texts_with_one_each_are_the_loss_of_one():
    targets = torch.tensor([0, 2, 2, 1, 2])
    padded = torch.stack([targets, torch.full_like(targets, -1)], dim=1)
    for loss in (label_aware_loss, partial(sigmoid_loss, bias=torch.tensor(-3.0)), jensen_shannon_loss):
        same(lambda *inputs, loss=loss: loss(*inputs, padded, SCALE), lambda *inputs, loss=loss: loss(*inputs, targets, SCALE),
             draw(5, 8), draw(3, 8, seed=1))  # fmt: skip


def test_a_photo_of_all_texts_has_nothing_to_be_told_apart_from():
    features, classes = draw(2, 8), draw(2, 8, seed=1)
    loss = label_aware_loss(features, classes, torch.tensor([[0, 1], [0, -1]]), SCALE)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, [features, classes]))


def region_loss(regions, texts, tag_index, scale, *, same_tag_positive=True, **options):
    return losses.region_loss(regions, texts, tag_targets(tag_index, same_tag_positive=same_tag_positive), scale, **options)


def plain_region_loss(regions, texts, tag_index, scale):
    """The loss of one value a tag, as it was before tags could have several."""
    terms = []
    for entity in range(regions.shape[1]):
        kept = tag_index[:, entity] >= 0
        rows, targets = tag_index[kept, entity].unique(return_inverse=True)
        features, classes = (normalize(x, dim=-1) for x in (regions[kept, entity], lookup(texts, rows)))
        logits = scale * features @ classes.T
        positives = one_hot(targets, len(rows)).T.to(logits.dtype)
        to_photo = -(logits.T.log_softmax(dim=-1) * positives).sum(dim=-1) / positives.sum(dim=-1)
        terms.append((cross_entropy(logits, targets) + to_photo.mean()) / 2)
    return torch.stack(terms).mean()


@pytest.mark.parametrize("shape", [(6, 2), (6, 2, 1), (6, 2, 3)])
def test_single_values_give_bit_for_bit_the_loss_of_single_values(shape):
    regions, texts = draw(6, 2, 8), draw(7, 8, seed=1)
    index = torch.tensor([[0, 4], [1, 4], [0, -1], [2, 5], [-1, 6], [3, 4]])
    shaped = torch.full((6, 2, 3), -1)
    shaped[:, :, 0] = index
    ours = region_loss(regions, texts, index if len(shape) == 2 else shaped[..., : shape[2]], SCALE)
    theirs = plain_region_loss(regions, texts, index, SCALE)
    assert torch.equal(ours, theirs)
    both = (torch.autograd.grad(loss, [regions, texts]) for loss in (ours, theirs))
    assert all(torch.equal(mine, other) for mine, other in zip(*both, strict=True))


def test_all_values_of_a_product_are_positives_and_another_products_equal_value_no_negative():
    texts = torch.eye(8)
    index = torch.tensor([[[0, 1]], [[0, 2]], [[3, -1]]])
    regions = torch.stack([texts[0] + texts[1], texts[0] + texts[2], texts[3]])[:, None].requires_grad_()
    assert region_loss(regions, texts, index, torch.tensor(1000.0)) < 0.5
    gradient = torch.autograd.grad(region_loss(regions, texts, index, SCALE), regions)[0][:, 0]
    assert gradient[0, 2] > 0 and gradient[0, 3] > 0 and gradient[2, :3].min() > 0  # others' values repel
    assert gradient[0, :2].max() < gradient[0, 2:4].min() and gradient[1, [0, 2]].max() < gradient[1, [1, 3]].min()
    diagonal = region_loss(regions, texts, index, SCALE, same_tag_positive=False)
    assert diagonal > region_loss(regions, texts, index, SCALE)


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


def naive_sigmoid(features, classes, targets, scale, bias):
    """Yes or no, pair by pair."""
    total = 0.0
    for i, feature in enumerate(features):
        for c, text in enumerate(classes):
            logit = scale * normalize(feature, dim=0) @ normalize(text, dim=0) + bias
            total = total - torch.log(torch.sigmoid(logit if targets[i] == c else -logit))
    return total / len(features)


def test_sigmoid_loss_equals_the_loop_and_texts_may_be_shared():
    targets = torch.tensor([0, 2, 2, 1, 2])
    bias = torch.tensor(-3.0, requires_grad=True)
    scale = torch.tensor(4.0, requires_grad=True)
    same(sigmoid_loss, naive_sigmoid, draw(5, 8), draw(3, 8, seed=1), targets, scale, bias)


def test_without_doubled_texts_sigmoid_loss_is_open_clips():
    image, text = draw(6, 8), draw(6, 8, seed=1)
    bias = torch.tensor(-10.0, requires_grad=True)
    scale = torch.tensor(10.0, requires_grad=True)

    def theirs(image, text, targets, scale, bias):
        return open_clip.loss.SigLipLoss()(normalize(image, dim=-1), normalize(text, dim=-1), scale, bias)

    same(sigmoid_loss, theirs, image, text, torch.arange(6), scale, bias)


def test_sigmoid_loss_by_blocks_is_the_same(monkeypatch):
    inputs = (draw(11, 8), draw(5, 8, seed=1), torch.arange(11) % 5, SCALE.clone().requires_grad_(), torch.tensor(-2.0))

    def by_blocks(*inputs):
        with monkeypatch.context() as patch:
            patch.setattr(losses, "BLOCK", 4)
            return sigmoid_loss(*inputs)

    same(by_blocks, sigmoid_loss, *inputs)


def test_contrastive_loss_is_open_clips():
    def theirs(image, text, scale):
        return open_clip.loss.ClipLoss()(normalize(image, dim=-1), normalize(text, dim=-1), scale)

    same(contrastive_loss, theirs, draw(7, 8), draw(7, 8, seed=1), SCALE.clone().requires_grad_())


@pytest.mark.parametrize("targets", [[0, 1, 2, 3, 4], [0, 1, 0, 2, 0, 1], [3, 3, 3, 0], [1, 1, 1, 1, 1, 0]])
@pytest.mark.parametrize("count", [1, 3])
def test_rolled_negatives_are_other_texts_and_spread(targets, count):
    targets = torch.tensor(targets)
    negatives = rolled_negatives(targets, count)
    assert negatives.shape == (len(targets), count)
    assert not (targets[negatives] == targets.unsqueeze(1)).any()
    for target, row in zip(targets, negatives, strict=True):
        others = int((targets != target).sum())
        assert len(set(row.tolist())) == min(count, others)  # no photo twice before all have served
    if len(targets.unique()) == len(targets) and count == 1:
        assert torch.equal(negatives[:, 0], (torch.arange(len(targets)) + 1) % len(targets))  # the paper's roll by one


def test_rolled_negatives_do_not_all_fall_on_one_photo():
    targets = torch.tensor([0] * 6 + [1, 2, 3, 4, 5, 6])
    first = rolled_negatives(targets, 1)[:6, 0]
    assert len(first.unique()) == 6


def test_one_text_only_has_no_negatives():
    assert (rolled_negatives(torch.zeros(4, dtype=torch.long), 2) == -1).all()
    loss = jensen_shannon_loss(draw(4, 8), draw(1, 8, seed=1), torch.zeros(4, dtype=torch.long), SCALE)
    critic = SCALE * normalize(draw(4, 8), dim=-1) @ normalize(draw(1, 8, seed=1), dim=-1).T
    assert_close(loss, softplus(-critic).mean())


@pytest.mark.parametrize("targets", [[0, 1, 2, 3, 4], [0, 2, 2, 1, 2]])
@pytest.mark.parametrize("bias", [None, -1.5])
def test_jensen_shannon_loss_equals_the_loop(targets, bias):
    targets = torch.tensor(targets)
    offset = 0.0 if bias is None else bias

    def naive(features, classes, targets, scale):
        total = 0.0
        for i, row in enumerate(rolled_negatives(targets, 2).tolist()):
            critic = [offset + scale * normalize(features[i], dim=0) @ normalize(c, dim=0) for c in classes]
            total = total + softplus(-critic[targets[i]]) + sum(softplus(critic[targets[j]]) for j in row) / 2
        return total / len(features)

    def ours(*inputs):
        return jensen_shannon_loss(*inputs, bias=None if bias is None else torch.tensor(bias), negatives=2)

    same(ours, naive, draw(5, 8), draw(5, 8, seed=1), targets, SCALE.clone().requires_grad_())


def test_jensen_shannon_loss_does_not_reward_a_larger_batch():
    """Per photo and per pair: a batch twice over has the same loss, where a softmax would have one more log 2."""
    features, classes = draw(4, 8), draw(4, 8, seed=1)
    once = jensen_shannon_loss(features, classes, torch.arange(4), SCALE, negatives=3)
    twice = jensen_shannon_loss(features.repeat(2, 1), classes, torch.arange(4).repeat(2), SCALE, negatives=6)
    assert_close(once, twice)


def test_region_loss_takes_any_pair_loss_and_per_entity_texts():
    regions, texts = draw(4, 2, 8), draw(5, 8, seed=1)
    index = torch.tensor([[0, 2], [-1, 3], [1, -1], [0, 4]])
    bias = torch.tensor(-2.0)
    sigmoid = partial(sigmoid_loss, bias=bias)
    first = naive_sigmoid(regions[[0, 2, 3], 0], texts[:2], torch.tensor([0, 1, 0]), SCALE, bias)
    second = naive_sigmoid(regions[[0, 1, 3], 1], 3 - texts[2:], torch.tensor([0, 1, 2]), SCALE, bias)
    per_entity = torch.stack([texts, 3 - texts])  # (E, U, D)
    assert_close(region_loss(regions, per_entity, index, SCALE, loss=sigmoid), (first + second) / 2)


def test_the_published_diagonal_counts_each_photos_tag_as_its_own():
    regions, texts = draw(4, 1, 8), draw(2, 8, seed=1)
    index = torch.tensor([[0], [1], [0], [1]])
    diagonal = region_loss(regions, texts, index, SCALE, same_tag_positive=False)
    assert_close(diagonal, contrastive_loss(regions[:, 0], texts[index[:, 0]], SCALE))


def test_the_published_diagonal_pulls_as_same_tag_positives_do_that_weigh_products_alike():
    index = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
    regions, texts = draw(8, 1, 8), draw(3, 8, seed=1)
    diagonal = region_loss(regions, texts, index[:, None], SCALE, same_tag_positive=False)
    counts = index.bincount().float()
    logits = losses.similarities(regions[:, 0], texts, SCALE)  # (B, C)
    to_text = cross_entropy(logits + counts.log(), index)  # a softmax that knows how often each tag occurs
    own = logits.log_softmax(dim=0)[torch.arange(8), index]  # each product's share of its text's probability
    weighed = (to_text - own.mean()) / 2
    constant = (counts * counts.log()).sum() / 8 / 2  # what the false negatives add: nothing that pulls
    assert_close(diagonal, weighed + constant)
    theirs, ours = (torch.autograd.grad(loss, [regions, texts]) for loss in (diagonal, weighed))
    assert_close(theirs, ours)


@pytest.mark.parametrize("loss", ["contrastive", "label_aware", "sigmoid", "jensen_shannon", "distillation"])
def test_losses_keep_float32_under_autocast(loss):
    features, classes, targets = draw(6, 64), draw(6, 64, seed=1), torch.arange(6)
    scale, bias = torch.tensor(100.0), torch.tensor(-10.0)
    run = {
        "contrastive": lambda: contrastive_loss(features, classes, scale),
        "label_aware": lambda: label_aware_loss(features, classes, targets, scale),
        "sigmoid": lambda: sigmoid_loss(features, classes, targets, scale, bias),
        "jensen_shannon": lambda: jensen_shannon_loss(features, classes, targets, scale),
        "distillation": lambda: distillation_loss(features, classes),
    }[loss]
    plain = run()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(run(), plain, rtol=1e-6, atol=1e-6)


def test_distillation_is_zero_at_the_start_and_two_at_the_opposite():
    start = draw(3, 8).detach()
    assert_close(distillation_loss(start * 5, start), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert_close(distillation_loss(-start, start), torch.tensor(2.0))


def test_centred_tags_are_told_apart_however_close_they_lie():
    """Four brands in one corner of the space: as they are no photo tells them apart, less their mean it does."""
    corner, own = torch.zeros(4, 8), torch.eye(4, 8) * 0.02
    corner[:, 7] = 1.0
    texts, index = corner + own, torch.arange(4).unsqueeze(1)
    regions = torch.eye(4, 8).unsqueeze(1)
    plain, centred = (region_loss(regions, texts, index, torch.tensor(20.0), centred=flag) for flag in (False, True))
    assert plain > 1.0 and centred < 0.01
    unit = normalize(texts, dim=-1)
    expected = region_loss(regions, unit - unit.mean(dim=0), index, torch.tensor(20.0))
    assert_close(centred, expected)


def test_one_tag_alone_is_not_centred_away():
    alone = draw(1, 8)
    assert_close(centre(alone), normalize(alone, dim=-1))
    loss = region_loss(draw(3, 1, 8), alone, torch.zeros(3, 1, dtype=torch.long), SCALE, centred=True)
    loss.backward()
    assert torch.isfinite(alone.grad).all()


WORDS = torch.arange(5) < torch.tensor([[5], [2], [1], [4]])
SHARED = {  # name -> inputs, and the loss of them and of a process's rows
    "contrastive": ((draw(7, 8), draw(7, 8, seed=1)), contrastive_loss),
    "label-aware": (
        (draw(5, 8), draw(3, 8, seed=1)),
        lambda x, y, scale, part: label_aware_loss(x, y, torch.tensor([0, 2, 2, 1, 2]), scale, part),
    ),
    "several": ((draw(5, 8), draw(4, 8, seed=1)), lambda x, y, scale, part: label_aware_loss(x, y, SEVERAL, scale, part)),
    "sigmoid": (
        (draw(5, 8), draw(3, 8, seed=1)),
        lambda x, y, scale, part: sigmoid_loss(x, y, torch.tensor([0, 2, 2, 1, 2]), scale, torch.tensor(-3.0), part),
    ),
    "jensen-shannon": (
        (draw(5, 8), draw(4, 8, seed=1)),
        lambda x, y, scale, part: jensen_shannon_loss(x, y, SEVERAL, scale, part, negatives=2),
    ),
    "late": (
        (draw(4, 3, 8), draw(4, 5, 8, seed=1)),
        lambda x, y, scale, part: late_interaction_loss(x, y, WORDS, scale, part),
    ),
}


@pytest.mark.parametrize("world", [2, 3, 4, 6])
@pytest.mark.parametrize("name", SHARED)
def test_the_mean_of_what_processes_compute_of_their_rows_is_the_loss_of_all(name, world):
    """Value and gradients, also with fewer photos or texts than processes."""
    inputs, loss = SHARED[name]
    scale = SCALE.clone().requires_grad_()

    def shared(x, y, scale):
        return sum(loss(x, y, scale, OwnRows(rank, world)) for rank in range(world)) / world

    same(shared, lambda x, y, scale: loss(x, y, scale, WHOLE), *inputs, scale)


def test_no_process_holds_the_logits_of_all_rows(monkeypatch):
    largest = []
    whole = losses.similarities

    def seen(left, right, scale):
        logits = whole(left, right, scale)
        largest.append(logits.numel())
        return logits

    monkeypatch.setattr(losses, "similarities", seen)
    contrastive_loss(draw(64, 4), draw(64, 4, seed=1), SCALE, OwnRows(1, 4))
    label_aware_loss(draw(64, 4), draw(64, 4, seed=1), torch.arange(64), SCALE, OwnRows(1, 4))
    assert largest == [16 * 64] * 4
