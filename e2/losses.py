"""Contrastive losses: tensors in, tensors out. Nothing here knows a model, a tokenizer or a batch.

Features are normalised here, so the losses do not depend on their length. Logits are computed in float32.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def similarities(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines, (B, D) x (C, D) -> (B, C), in float32."""
    left, right = F.normalize(left.float(), dim=-1), F.normalize(right.float(), dim=-1)
    return scale * left @ right.T


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE with the diagonal as target (CLIP, Radford et al., 2021): (B, D), (B, D) -> scalar."""
    logits = similarities(image, text, scale)
    targets = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def label_aware_loss(features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE between photos and the *unique* tag texts of a batch: same-tag photos are positives.

    Towards the texts each photo has one right answer. Towards the photos a text has several; its loss is the mean negative
    log-probability over them (the outer form of SupCon, Khosla et al., 2020, eq. 2), averaged over the texts. With no
    tag twice this is :func:`contrastive_loss`.

    Args:
        features: (B, D) one per photo.
        classes: (C, D) text features, each of which is the target of at least one photo.
        targets: (B,) index of each photo's text in ``classes``.
        scale: the exponentiated logit scale.
    """
    logits = similarities(features, classes, scale)  # (B, C)
    to_text = F.cross_entropy(logits, targets)
    positives = F.one_hot(targets, len(classes)).T.to(logits.dtype)  # (C, B)
    to_photo = -(logits.T.log_softmax(dim=-1) * positives).sum(dim=-1) / positives.sum(dim=-1)
    return (to_text + to_photo.mean()) / 2


def region_loss(regions: Tensor, texts: Tensor, tag_index: Tensor, scale: Tensor, *, same_tag_positive: bool = True) -> Tensor:
    """Region contrastive loss: the mean over the entities of the loss between region embeddings and tag texts.

    Args:
        regions: (B, E, D) one embedding per photo and entity.
        texts: (U, D) features of all unique texts of the batch.
        tag_index: (B, E) row of each tag in ``texts``; -1 where the tag is missing, which leaves that photo out of that
            entity's term. An entity with no tag at all in the batch does not count.
        scale: the exponentiated logit scale.
        same_tag_positive: False repeats the published loss, where another product's same tag is a negative.
    """
    terms = []
    for entity in range(regions.shape[1]):
        index = tag_index[:, entity]
        kept = index >= 0
        if not kept.any():
            continue
        features, index = regions[kept, entity], index[kept]
        if same_tag_positive:
            unique, targets = index.unique(return_inverse=True)
            terms.append(label_aware_loss(features, texts[unique], targets, scale))
        else:
            terms.append(contrastive_loss(features, texts[index], scale))
    # Keeps the graph (and so all-reduce across processes) whole where a batch has no tag at all.
    return torch.stack(terms).mean() if terms else regions.sum() * 0.0
