"""Tokenises texts once, trims their padding, and encodes them with a text tower.

A causal tower that pools at the end-of-text token never sees the positions behind it. So a batch may be cut to its longest
text: same embeddings, same gradients, a fraction of the work (a product text has about 20 of CLIP's 77 tokens). ``e2.packing``
goes further for training.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import TextTransformer, text_global_pool
from torch import Tensor, nn

from e2.foreign import OpenClip

LENGTH_STEP = 4  # lengths are multiples of this: kernels are prepared, and cached, once per shape


@dataclass(frozen=True)
class MarkedEnds:
    """Texts end at their end mark, the first token of an id; None: of the text's largest id, as in CLIP's vocabulary."""

    mark: int | None

    def lengths(self, tokens: Tensor) -> Tensor:
        """Tokens of each text, the mark included: (B, L) -> (B,)."""
        marks = tokens if self.mark is None else tokens.eq(self.mark)
        return marks.int().argmax(dim=-1) + 1


@dataclass(frozen=True)
class PaddedEnds:
    """Texts end in front of their padding."""

    padding: int

    def lengths(self, tokens: Tensor) -> Tensor:
        """Tokens of each text up to its padding: (B, L) -> (B,)."""
        return ((tokens != self.padding) * torch.arange(1, tokens.shape[1] + 1, device=tokens.device)).amax(dim=1)


Ends = MarkedEnds | PaddedEnds  # without weights, so that other processes can hold them


@dataclass(frozen=True)
class CausalTower:
    """Parts of a causal text tower that pools at its end-of-text token; open_clip keeps them in two places."""

    parts: OpenClip  # holds embeddings, transformer, final norm, projection and mask
    pool_type: str
    eos_id: int | None

    @property
    def ends(self) -> MarkedEnds:
        """Rule for the place at which the tower pools."""
        return MarkedEnds(self.eos_id if self.pool_type == "eos" else None)

    def project(self, x: Tensor) -> Tensor:
        """Projects (B, width) -> (B, D), if the tower has a projection."""
        projection = self.parts.text_projection
        if projection is None:
            return x
        return projection(x) if isinstance(projection, nn.Linear) else x @ projection


def causal_tower(clip: OpenClip) -> CausalTower | None:
    """Returns the text tower if positions behind the end of a text cannot affect its embedding, else None.

    Bidirectional towers (SigLIP) and those that pool at the last position or append a token (CoCa) see the padding; Hugging
    Face's mask it.
    """
    if isinstance(clip, open_clip.CLIP):
        tower = CausalTower(clip, clip.text_pool_type, clip.text_eos_id)
    elif isinstance(getattr(clip, "text", None), TextTransformer) and clip.text.cls_emb is None:
        tower = CausalTower(clip.text, clip.text.pool_type, clip.text.eos_id)
    else:
        return None
    return tower if tower.parts.attn_mask is not None and tower.pool_type in ("argmax", "eos") else None


def text_ends(clip: OpenClip) -> Ends | None:
    """Rule for the end of a text behind which the tower sees nothing; None if it sees the padding."""
    if (tower := causal_tower(clip)) is not None:
        return tower.ends
    return None if (text := transformers_tower(clip)) is None else PaddedEnds(text.config.pad_token_id)


def can_cut(clip: OpenClip) -> bool:
    """True if cutting a batch to its longest text provably keeps the embeddings."""
    return text_ends(clip) is not None


def transformers_tower(clip: OpenClip) -> OpenClip | None:
    """The text tower if it is Hugging Face's; open_clip masks the padding in its attention and its pooling."""
    text = getattr(clip, "text", None)
    return text if isinstance(text, HFTextEncoder) else None


def cut_to_longest(clip: OpenClip, tokens: Tensor) -> Tensor:
    """Cuts (B, L) to the longest text of the batch; unchanged if the tower sees padding."""
    return cut_behind(text_ends(clip), tokens)


def cut_behind(ends: Ends | None, tokens: Tensor) -> Tensor:
    """Cuts (B, L) to the longest text by the rule of :func:`text_ends`."""
    if ends is None:
        return tokens
    longest = int(ends.lengths(tokens).max())
    return tokens[:, : -(-longest // LENGTH_STEP) * LENGTH_STEP]


def encode_text(clip: OpenClip, tokens: Tensor) -> Tensor:
    """Token ids (B, L) -> (B, D), like ``clip.encode_text`` but causal towers also take shorter lengths than the context."""
    length, tower = tokens.shape[1], causal_tower(clip)
    if tower is None or length == clip.context_length:
        return clip.encode_text(tokens)
    # open_clip insists on the full length; these are its steps with position table and mask cut.
    parts = tower.parts
    dtype = parts.transformer.get_cast_dtype()
    x = parts.token_embedding(tokens).to(dtype) + parts.positional_embedding[:length].to(dtype)  # (B, L, width)
    x = parts.ln_final(parts.transformer(x, attn_mask=parts.attn_mask[:length, :length]))
    return tower.project(text_global_pool(x, tokens, tower.pool_type, eos_token_id=tower.eos_id))


def truncated(tokenizer: Any, texts: Sequence[str]) -> int:
    """Counts the texts that lose words at the context length."""
    return sum(cut_texts(tokenizer, texts))


def cut_texts(tokenizer: Any, texts: Sequence[str]) -> list[bool]:
    """Tells of each text whether it loses words at the context length: one more token would change what the model sees."""
    length = tokenizer.context_length
    if isinstance(tokenizer, HFTokenizer):  # may pad on either side and end without a mark: count, do not compare
        whole = tokenizer.tokenizer([tokenizer.clean_fn(text) for text in texts]).input_ids
        return [len(ids) > length for ids in whole]
    texts = list(texts)
    if isinstance(tokenizer, SimpleTokenizer) and tokenizer.reduction_fn is None:  # pads with zeros: once is enough
        return (tokenizer(texts, context_length=length + 1)[:, length] != 0).tolist()
    return (tokenizer(texts) != tokenizer(texts, context_length=length + 1)[:, :length]).any(dim=1).tolist()


def text_keys(tokens: Tensor) -> Tensor:
    """Hashes what the model sees of each text: (B, L) token ids -> (B,) int64, equal for equal rows.

    Texts that differ in what a tokenizer drops (case, spaces, words beyond the context length) are the same to the model, so
    they must not be negatives of each other. Equal in every process (Python's own hash is salted).
    """
    rows = tokens.cpu().to(torch.int64).numpy()
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return torch.from_numpy(np.frombuffer(digests, dtype=np.int64).copy()) & (2**63 - 1)


def distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """First row of each distinct key (U,), in order of appearance, and for every row (B,) the index of its key among them."""
    places: dict[int, int] = {}
    place = torch.tensor([places.setdefault(key, len(places)) for key in keys.tolist()], dtype=torch.long)
    first = torch.full((len(places),), len(keys)).scatter_reduce(0, place, torch.arange(len(keys)), "amin")
    return first, place


class TextTable:
    """Unique texts of a batch, and the index of each text among them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        """Index of the text in ``texts``; -1 for a missing one."""
        if text is None:
            return -1
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]

    def places(self, texts: Sequence[str | None]) -> Tensor:
        return torch.tensor([self.place(text) for text in texts], dtype=torch.long)
