"""Word-level text features: the text tower's output at each position before pooling, in the embedding space."""

import torch
from torch import Tensor, nn

from e2.errors import InputError
from e2.foreign import OpenClip
from e2.texts import causal_tower, encode_text


def words_tower(clip: OpenClip) -> OpenClip:
    """Module that holds the text tower's final norm and projection."""
    tower = getattr(clip, "text", clip)
    if not hasattr(tower, "ln_final") or getattr(tower, "cls_emb", None) is not None:
        raise InputError(f"text tower {type(tower).__name__} gives no words; choose a backbone such as ViT-B-32")
    return tower


def read_words(clip: OpenClip, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (B, L) -> text embeddings (B, D), word embeddings (B, L, D) and a mask of words, (B, L).

    Words go through the tower's own final norm and projection; the first result is ``encode_text``'s, in the same pass.
    """
    tower = words_tower(clip)
    seen: list[Tensor] = []
    hook = tower.ln_final.register_forward_hook(lambda module, inputs, states: seen.append(states))
    try:
        text = encode_text(clip, tokens)
    finally:
        hook.remove()
    states, projection = seen[0], tower.text_projection  # (B, L, width)
    if isinstance(projection, nn.Linear):
        states = projection(states)
    elif projection is not None:
        states = states @ projection
    return text, states, word_positions(clip, tokens)


def word_positions(clip: OpenClip, tokens: Tensor) -> Tensor:
    """(B, L) -> (B, L) bool: true from the start mark to the end mark, false for padding.

    A causal tower's text ends where it is pooled (CLIP's padding is 0, which is also the token of "!"). Otherwise the padding
    is the final run of the last token; the first of the run is kept, as it may be the end mark.
    """
    places, tower = torch.arange(tokens.shape[1], device=tokens.device), causal_tower(clip)
    if tower is not None:
        return places < tower.ends.lengths(tokens).unsqueeze(1)
    words = (tokens != tokens[:, -1:]) * places  # position of each token that differs from the last
    return places <= words.amax(dim=-1, keepdim=True) + 1
