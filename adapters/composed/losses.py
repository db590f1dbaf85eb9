"""Losses of the pseudo-word methods: tensors in, scalars out."""

import torch
from torch import Tensor
from torch.nn import functional as F

from e2.losses import contrastive_loss

DISTIL_TEMPERATURE = 0.25
COSINE_WEIGHT, PHRASE_WEIGHT = 1.0, 0.5  # of OTI
DISTIL_WEIGHT, DISTIL_PHRASE_WEIGHT = 1.0, 0.75  # of SEARLE's phi

pic2word_loss = contrastive_loss  # (image (B, D), text with pseudo-word (B, D), frozen exp(logit scale)) -> scalar


def cosine_losses(left: Tensor, right: Tensor) -> Tensor:
    """Computes one minus the cosine of each pair: (B, D), (B, D) -> (B,)."""
    return 1 - F.cosine_similarity(left, right, dim=-1)


def oti_losses(template: Tensor, image: Tensor, phrase: Tensor, phrase_with_word: Tensor) -> Tensor:
    """Computes the loss of optimisation-based textual inversion per image, (B,) (SEARLE, section 3.1).

    Args:
        template: (B, D) text of a template with the pseudo-word.
        image: (B, D).
        phrase: (B, D) text of a phrase about one of the image's concepts.
        phrase_with_word: (B, D) the same with the pseudo-word instead of the concept.
    """
    weighted = COSINE_WEIGHT * cosine_losses(template, image) + PHRASE_WEIGHT * cosine_losses(phrase, phrase_with_word)
    return weighted / (COSINE_WEIGHT + PHRASE_WEIGHT)


def distillation_loss(teacher: Tensor, student: Tensor, temperature: float = DISTIL_TEMPERATURE) -> Tensor:
    """Contrasts student and teacher tokens, (B, W), (B, W) -> scalar (SEARLE, section 3.2).

    NT-Xent over the joint set of 2 B tokens: each token's positive is its counterpart, and only itself is left out of the
    denominator.
    """
    joint = F.normalize(torch.cat([teacher, student]).float(), dim=-1)
    logits = joint @ joint.T / temperature
    logits = logits.masked_fill(torch.eye(len(joint), dtype=torch.bool, device=joint.device), -torch.inf)
    counterpart = torch.arange(len(joint), device=joint.device).roll(len(teacher))
    return F.cross_entropy(logits, counterpart)


def searle_loss(teacher: Tensor, student: Tensor, phrase: Tensor, phrase_with_word: Tensor) -> Tensor:
    """Computes the loss of SEARLE's phi: distillation of the inverted tokens, with phrases as regularisation."""
    phrases = cosine_losses(phrase, phrase_with_word).mean()
    return DISTIL_WEIGHT * distillation_loss(teacher, student) + DISTIL_PHRASE_WEIGHT * phrases


def lincir_loss(predicted: Tensor, features: Tensor) -> Tensor:
    """Computes the mean squared error between unnormalised text features (LinCIR, section 3.2)."""
    return F.mse_loss(predicted, features)
