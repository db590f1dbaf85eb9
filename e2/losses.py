"""Contrastive losses: tensors in, tensors out, independent of models, tokenizers and batches.

Features are normalised here, so the losses do not depend on their length. Logits are computed in float32, inside autocast
too: at a scale of 100 a cosine in bfloat16 is off by up to 0.4 of a logit.

Three losses take ``(features, classes, targets, scale)``, photos against the unique texts of a batch, so they serve for
descriptions and, per entity in :func:`region_loss`, for tags: :func:`label_aware_loss` (softmax), :func:`sigmoid_loss` and
:func:`jensen_shannon_loss`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from e2.lookup import lookup
from e2.targets import Targets

BLOCK = 1024  # photos whose logits the sigmoid loss holds at a time


class OwnRows(NamedTuple):
    """The rows of all logits that a process computes, every ``world``-th from ``rank`` on (open_clip's ``local_loss``).

    A loss then gives ``world`` times the sum over its own rows, divided as that of all: the mean over the processes is the
    whole loss, and the mean of the gradients the whole gradient, if features were gathered with theirs.
    """

    rank: int = 0
    world: int = 1

    def of(self, rows: Tensor) -> Tensor:
        """Own rows of (B, ...)."""
        return rows[self.rank :: self.world]


WHOLE = OwnRows()


def similarities(left: Tensor, right: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines, (B, D) x (C, D) -> (B, C), in float32."""
    with torch.autocast(left.device.type, enabled=False):
        return scale * F.normalize(left.float(), dim=-1) @ F.normalize(right.float(), dim=-1).T


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, part: OwnRows = WHOLE) -> Tensor:
    """Symmetric InfoNCE with the diagonal as target (CLIP, Radford et al., 2021): (B, D), (B, D) -> scalar."""
    targets = torch.arange(len(image), device=image.device)
    if part.world == 1:
        logits = similarities(image, text, scale)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
    to_text = F.cross_entropy(similarities(part.of(image), text, scale), part.of(targets), reduction="sum")
    to_photo = F.cross_entropy(similarities(part.of(text), image, scale), part.of(targets), reduction="sum")
    return part.world * (to_text + to_photo) / (2 * len(image))


def own_classes(targets: Tensor, count: int) -> Tensor:
    """Mask (B, C) of each photo's own texts among ``count``, for targets (B,) or (B, V) with -1 for none."""
    columns = targets if targets.ndim == 2 else targets.unsqueeze(1)
    own = torch.zeros(len(targets), count, dtype=torch.uint8, device=targets.device)
    return own.scatter_add_(1, columns.clamp(min=0), (columns >= 0).to(own.dtype)).bool()


def label_aware_loss(features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor, part: OwnRows = WHOLE) -> Tensor:
    """Symmetric InfoNCE between photos and the *unique* tag texts of a batch: same-tag photos are positives.

    A photo has one positive text, or several, each contrasted with the texts that are not the photo's; its loss is their mean.
    A text has several positive photos; its loss is their mean negative log-probability (SupCon's outer form,
    Khosla et al., 2020, eq. 2), averaged over the texts. If no tag occurs twice, this is :func:`contrastive_loss`.

    Args:
        features: (B, D) one per photo.
        classes: (C, D) text features, each of which is the target of at least one photo.
        targets: (B,) index of each photo's text in ``classes``, or (B, V) of its texts: at least one, -1 behind the last.
        scale: the exponentiated logit scale.
        part: photos and texts whose terms are computed here.
    """
    if part.world > 1:
        to_text = _to_texts(similarities(part.of(features), classes, scale), part.of(targets)).sum()
        own = _photos_of(torch.arange(len(classes), device=targets.device)[part.rank :: part.world], targets)
        to_photo = _to_photos(similarities(part.of(classes), features, scale), own).sum()
        return part.world * (to_text / len(features) + to_photo / len(classes)) / 2
    logits = similarities(features, classes, scale)  # (B, C)
    own = own_classes(targets, len(classes)).T  # (C, B)
    return (_to_texts(logits, targets).mean() + _to_photos(logits.T, own).mean()) / 2


def _to_texts(logits: Tensor, targets: Tensor) -> Tensor:
    """Term of each photo (b,): of several own texts the mean of -log(exp l / (exp l + sum of the others' exp))."""
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets, reduction="none")
    own = own_classes(targets, logits.shape[1])
    others = logits.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)  # (b, 1)
    return (F.softplus(others - logits) * own).sum(dim=1) / own.sum(dim=1)


def _to_photos(logits: Tensor, own: Tensor) -> Tensor:
    """Term of each text (c,), of logits and the mask of its own photos, both (c, B)."""
    positives = own.to(logits.dtype)
    return -(logits.log_softmax(dim=-1) * positives).sum(dim=-1) / positives.sum(dim=-1)


def _photos_of(classes: Tensor, targets: Tensor) -> Tensor:
    """Mask (c, B) of the photos of each of some texts (c,), for targets (B,) or (B, V)."""
    columns = targets if targets.ndim == 2 else targets.unsqueeze(1)
    return (classes[:, None, None] == columns.T).any(dim=1)


def sigmoid_loss(
    features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor, bias: Tensor, part: OwnRows = WHOLE
) -> Tensor:
    """SigLIP's loss (Zhai et al., 2023): each photo-text pair is a binary classification of its own.

    The negative log-likelihood summed over all B x C pairs and divided by B. Without a softmax over the batch, all photos of a
    text are its positives, and blocks of photos add up exactly: at most ``BLOCK`` rows of logits exist.

    Args:
        features, classes, targets, scale, part: as for :func:`label_aware_loss`.
        bias: added to the scaled cosines; SigLIP starts it at -10, as nearly all pairs are negatives.
    """
    share, features, targets = len(features) / part.world, part.of(features), part.of(targets)
    if len(features) <= BLOCK:
        return _pair_terms(features, classes, targets, scale, bias) / share
    blocks = zip(features.split(BLOCK), targets.split(BLOCK), strict=True)
    terms = [checkpoint(_pair_terms, rows, classes, right, scale, bias, use_reentrant=False) for rows, right in blocks]
    return torch.stack(terms).sum() / share


def _pair_terms(features: Tensor, classes: Tensor, targets: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    logits = similarities(features, classes, scale) + bias  # (B, C)
    labels = own_classes(targets, len(classes)).to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")


def rolled_negatives(targets: Tensor, count: int) -> Tensor:
    """Chooses negatives without a softmax: (B,) -> (B, count) further photos with another text.

    If no text occurs twice, these are the batch rolled by 1, 2, ... in the order of the texts; photos of the same text are
    stepped over as a group. If there are fewer than ``count`` other photos they repeat; -1 if all photos share one text.
    """
    order = targets.argsort(stable=True)
    _, group, sizes = targets.unique(return_inverse=True, return_counts=True)
    size, end = sizes[group].unsqueeze(1), sizes.cumsum(0)[group].unsqueeze(1)  # (B, 1)
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device)).unsqueeze(1)
    step = place - (end - size) + torch.arange(count, device=order.device)  # (B, count), position within the group first
    others = (len(targets) - size).clamp(min=1)
    return order[(end + step % others) % len(targets)].masked_fill(size == len(targets), -1)


def jensen_shannon_loss(
    features: Tensor,
    classes: Tensor,
    targets: Tensor,
    scale: Tensor,
    part: OwnRows = WHOLE,
    *,
    bias: Tensor | None = None,
    negatives: int = 1,
) -> Tensor:
    """CLIP-Lite's loss (Shrivastava et al., AISTATS 2023): the Jensen-Shannon bound on the mutual information.

    ``softplus(-f)`` of each photo with its own text plus the mean ``softplus(f)`` with ``negatives`` texts of other photos,
    where the critic f is the scaled cosine plus the model's bias, if any. Per photo, so the batch may be small.

    Args:
        features, classes, targets, scale, part: as for :func:`label_aware_loss`; a photo counts once for each of its texts.
        bias: the model's logit bias, if it has one.
        negatives: negative texts per photo; chosen by :func:`rolled_negatives`, never one of the photo's own.
    """
    own = own_classes(targets, len(classes))
    photos, texts = own.nonzero(as_tuple=True)  # (P,), each photo with each of its texts
    others = rolled_negatives(texts, negatives)  # (P, k)
    columns = torch.cat([texts.unsqueeze(1), texts[others]], dim=1)  # (P, 1 + k)
    mine = photos % part.world == part.rank
    photos, others, columns = photos[mine], others[mine], columns[mine]
    critic = _paired_similarities(lookup(features, photos), lookup(classes, columns), scale)
    critic = critic if bias is None else critic + bias
    negative = (others >= 0) & ~own[photos].gather(1, columns[:, 1:])
    terms = F.softplus(-critic[:, 0]) + (F.softplus(critic[:, 1:]) * negative).mean(dim=1)
    return part.world * (terms / own.sum(dim=1)[photos]).sum() / len(features)


def _paired_similarities(features: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines of each photo with its own texts, (B, D), (B, K, D) -> (B, K), in float32."""
    with torch.autocast(features.device.type, enabled=False):
        return scale * torch.einsum("bd,bkd->bk", F.normalize(features.float(), dim=-1), F.normalize(texts.float(), dim=-1))


def region_loss(
    regions: Tensor,
    texts: Tensor,
    targets: Sequence[Targets | None],
    scale: Tensor,
    *,
    centred: bool = False,
    loss: Callable[..., Tensor] = label_aware_loss,
) -> Tensor:
    """Region contrastive loss: the mean over the entities of the loss between region embeddings and tag texts.

    Args:
        regions: (B, E, D) one embedding per photo and entity.
        texts: (U, D) features of all unique texts of the batch, or (E, U, D) if each entity has its own.
        targets: photos and tag texts of each entity (:func:`e2.targets.tag_targets`). Photos without its tag are left out of
            its term, and entities without any tag in the batch do not count. The published loss takes another product's same
            tag for a negative (``same_tag_positive=False`` there). With a softmax these false negatives only add a constant,
            but tags count by the number of their products (here once each), in the softmax over the tags and in ``centred``'s
            mean, too.
        scale: the exponentiated logit scale, () or one for each entity, (E,).
        centred: contrast with mean-centred tags (:func:`centre`).
        loss: called with ``(features, classes, targets, scale)`` for each entity.
    """
    terms = []
    for entity, found in enumerate(targets):
        if found is not None:
            classes = lookup(texts[entity] if texts.ndim == 3 else texts, found.texts)
            own, rate = lookup(regions[:, entity], found.photos), scale[entity] if scale.ndim else scale
            terms.append(loss(own, centre(classes) if centred else classes, found.places, rate))
    # Keeps the graph (and so all-reduce across processes) intact if a batch has no tags.
    return torch.stack(terms).mean() if terms else regions.sum() * 0.0


def centre(classes: Tensor) -> Tensor:
    """Mean-centres unit features, (C, D) -> (C, D); a single one is unchanged.

    A text tower may put all brands close together (cosines of 0.95 and more after 460 steps from random weights), where no
    photo distinguishes them and no gradient separates them.
    """
    with torch.autocast(classes.device.type, enabled=False):
        unit = F.normalize(classes.float(), dim=-1)
        return unit - unit.mean(dim=0) if len(unit) > 1 else unit


def distillation_loss(features: Tensor, start: Tensor) -> Tensor:
    """Computes the mean distance from the start model's features, 1 - cosine: (B, D), (B, D) -> scalar."""
    with torch.autocast(features.device.type, enabled=False):
        return 1 - F.cosine_similarity(features.float(), start.float(), dim=-1).mean()
