import torch
from torch.testing import assert_close

from e2.selection import HardSelection, SoftSelection, TopKSelection, gumbel_noise

LOGITS = torch.tensor([[[0.5, 2.0, -1.0, 1.5]]])


def test_hard_selection_is_the_argmax_with_the_gradient_of_the_softmax():
    logits = LOGITS.clone().requires_grad_()
    weights = HardSelection()(logits)
    assert weights.tolist() == [[[0, 1, 0, 0]]]
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (weights @ values).sum().backward()
    soft = LOGITS.clone().requires_grad_()
    (soft.softmax(-1) @ values).sum().backward()
    assert_close(logits.grad, soft.grad)


def test_noise_decides_the_choice():
    assert HardSelection()(LOGITS, torch.tensor([0.0, 0, 9, 0])).argmax() == 2


def test_noisy_choices_follow_the_softmax():
    torch.manual_seed(0)
    draws = HardSelection()(LOGITS.expand(20_000, 1, 4), gumbel_noise((20_000, 1, 4), torch.device("cpu")))
    assert_close(draws.mean(dim=0), LOGITS[0].softmax(-1), atol=0.01, rtol=0)


def test_noise_is_finite_and_standard_gumbel():
    noise = gumbel_noise((2_000_000,), torch.device("cpu"), torch.Generator().manual_seed(0))
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.005  # Euler's constant
    assert abs(noise.var() - torch.pi**2 / 6) < 0.01


def test_soft_selection_is_the_softmax_and_takes_no_noise():
    assert_close(SoftSelection(temperature=2.0)(LOGITS), (LOGITS / 2).softmax(-1))
    assert not SoftSelection.takes_noise


def test_top_k_is_the_mean_of_the_best():
    assert TopKSelection(k=2)(LOGITS).tolist() == [[[0, 0.5, 0, 0.5]]]
    assert TopKSelection(k=9)(LOGITS).tolist() == [[[0.25] * 4]]  # fewer patches than k
