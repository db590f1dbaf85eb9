"""Embeddings of texts under a frozen text tower: each text is encoded once, then looked up."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from e2.foreign import OpenClip
from e2.texts import cut_to_longest, encode_text, text_keys, transformers_tower

AT_ONCE = 128  # texts the tower sees at a time


def text_tower_is_frozen(clip: OpenClip) -> bool:
    """True if no text's embedding changes in training, but for the projection behind a transformer of Hugging Face's."""
    if (text := transformers_tower(clip)) is not None:
        return not any(p.requires_grad for p in text.transformer.parameters())
    image = {id(p) for p in clip.visual.parameters()}
    learning = (name for name, p in clip.named_parameters() if p.requires_grad and id(p) not in image)
    return all(name in ("logit_scale", "logit_bias") for name in learning)


class FrozenTexts:
    """Embeddings by text, of texts given beforehand and of those met on the way.

    Args:
        clip: the model, whose text tower is frozen.
    """

    def __init__(self, clip: OpenClip):
        self.clip = clip
        self.rows: dict[int, int] = {}  # key of a text -> row of the table
        self.table = torch.empty(0, 0)

    def __call__(self, tokens: Tensor) -> Tensor:
        """Token ids (u, L) -> (u, D), through the projection if that learns."""
        # The same text has the same key whatever length its batch was cut to.
        keys = text_keys(F.pad(tokens, (0, self.clip.context_length - tokens.shape[1]))).tolist()
        if new := self.unknown(keys):
            self.add([keys[row] for row in new], self.encode(tokens[new]))
        found = self.table[[self.rows[key] for key in keys]].to(tokens.device)
        text = transformers_tower(self.clip)
        return found if text is None else text.proj(found)

    def unknown(self, keys: Sequence[int]) -> list[int]:
        """Positions of the texts that are not there yet, one of each text."""
        return list({key: row for row, key in enumerate(keys) if key not in self.rows}.values())

    @torch.no_grad()
    def encode(self, tokens: Tensor) -> Tensor:
        """Runs the frozen layers: (u, L) -> (u, W), float32 on the CPU."""
        return torch.cat([self._encode(cut_to_longest(self.clip, part)).float().cpu() for part in tokens.split(AT_ONCE)])

    def add(self, keys: Sequence[int], rows: Tensor) -> None:
        """Takes over embeddings (u, W) of texts that are not there yet, each given once."""
        count = len(self.rows)
        if count + len(keys) > len(self.table):  # twice the room, so that adding row by row stays cheap
            room = rows.new_empty(max(count + len(keys), 2 * count), rows.shape[1])
            if count:
                room[:count] = self.table[:count]
            self.table = room
        self.table[count : count + len(keys)] = rows
        self.rows |= {key: count + rank for rank, key in enumerate(keys)}

    def _encode(self, tokens: Tensor) -> Tensor:
        text = transformers_tower(self.clip)
        if text is None:
            return encode_text(self.clip, tokens)
        mask = (tokens != text.config.pad_token_id).long()
        return text.pooler(text.transformer(input_ids=tokens, attention_mask=mask), mask)
