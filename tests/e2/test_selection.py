import pytest
import torch
from torch.testing import assert_close

from e2.selection import SELECTORS, HardSelection, SoftSelection, TopKSelection, gumbel_noise, make_selector

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


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("name", SELECTORS)
def test_a_hidden_patch_is_never_chosen(name, noisy):
    torch.manual_seed(0)
    logits = torch.randn(50, 3, 12).masked_fill(torch.arange(12) < 5, -torch.inf).requires_grad_()
    weights = make_selector(name, 1.0)(logits, gumbel_noise((50, 3, 12), torch.device("cpu")) if noisy else None)
    assert not weights[..., :5].any()
    assert_close(weights.sum(dim=-1), torch.ones(50, 3))
    if weights.requires_grad:
        (gradient,) = torch.autograd.grad((weights * torch.randn_like(weights)).sum(), logits)
        assert gradient.isfinite().all() and not gradient[..., :5].any()
