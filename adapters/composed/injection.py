"""Pseudo-words: vectors that replace a word's embedding inside a text tower.

The vector replaces what the tower's embedding table gives at a position, before anything else happens; all that follows is the
tower's own forward pass, with its own positions, mask (causal or not), pooling rule and projection. So it works for
open_clip's native towers, custom ones (SigLIP: no mask, last token) and transformers' models inside open_clip.

Pseudo-words are located by *position*, never by the id of a sign: users may write "*" or "$" in their wishes.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from e2.errors import InputError
from e2.foreign import OpenClip
from e2.texts import cut_to_longest, encode_text

FILLERS = (("dog", "cat"), ("x", "y"), ("a", "b"))  # pairs of words, each of which is one token in any usual vocabulary
NOWHERE = -1


@dataclass(frozen=True)
class Prompts:
    """Token ids (B, L) and the positions (B, P) of pseudo-words; -1 fills rows with fewer of them."""

    tokens: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, device: torch.device | str) -> "Prompts":
        return Prompts(self.tokens.to(device), self.positions.to(device))

    def __getitem__(self, rows: Tensor) -> "Prompts":
        return Prompts(self.tokens[rows], self.positions[rows])


def token_table(clip: OpenClip) -> nn.Embedding:
    """Returns the module that turns token ids into embeddings."""
    tower: OpenClip = getattr(clip, "text", clip)
    if hasattr(tower, "token_embedding"):
        return tower.token_embedding
    if hasattr(tower, "transformer") and hasattr(tower.transformer, "get_input_embeddings"):  # open_clip's HFTextEncoder
        return tower.transformer.get_input_embeddings()
    raise InputError("this encoder's text tower has no embedding table to put pseudo-words in; use a method without them")


def token_width(clip: OpenClip) -> int:
    """Width W of a word's embedding."""
    return token_table(clip).weight.shape[1]


def encode_text_with_tokens(clip: OpenClip, tokens: Tensor, positions: Tensor, vectors: Tensor) -> Tensor:
    """Texts with some words' embeddings replaced -> (B, D), not normalised; gradients reach ``vectors``.

    The batch is cut to its longest text if that changes nothing.

    Args:
        clip: an encoder's ``text_tower``.
        tokens: (B, L) ids.
        positions: (B,) or (B, P) positions of the vectors; -1 = none.
        vectors: (B, W), shared by all positions of a row, or (B, P, W), one per position; a single row serves all texts.
    """
    positions = positions.reshape(len(tokens), -1)
    if vectors.ndim == 2:
        vectors = vectors[:, None]
    vectors = vectors.expand(len(tokens), positions.shape[1], -1)
    tokens = cut_to_longest(clip, tokens)
    _check_inside(clip, tokens, positions)
    with _replaced(token_table(clip), positions, vectors):
        return encode_text(clip, tokens)


def _check_inside(clip: nn.Module, tokens: Tensor, positions: Tensor) -> None:
    """Refuses a position at or after the end-of-text token, which would silently be ignored or spoil the pooling."""
    last = torch.full_like(positions[:, :1], tokens.shape[1] - 1)
    if getattr(clip, "text_pool_type", None) == "argmax":
        last = tokens.argmax(dim=1, keepdim=True) - 1
    if (positions > last).any():
        row = int((positions > last).any(dim=1).nonzero()[0])
        raise InputError(f"text {row} ends before the place of its pseudo-word; shorten what stands before it")


@contextlib.contextmanager
def _replaced(table: nn.Module, positions: Tensor, vectors: Tensor) -> Iterator[None]:
    """Makes the table's output hold the vectors at the positions, while the context lasts."""
    rows, columns = (positions != NOWHERE).nonzero(as_tuple=True)

    def put(module: nn.Module, inputs: tuple, embedded: Tensor) -> Tensor:
        return embedded.index_put((rows, positions[rows, columns]), vectors[rows, columns].to(embedded.dtype))

    handle = table.register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


def locate_words(tokenizer: Callable, write: Callable[[str, int], str], count: int, *, keep_cut: bool = False) -> Prompts:
    """Tokenises texts with pseudo-words to ids and positions.

    Each text is tokenised twice with different words as pseudo-words, whose positions are where the ids differ.

    Args:
        write: (word, number of the text) -> the text with the word for each pseudo-word.
        count: number of texts.
        keep_cut: leave out pseudo-words lost at the end of a long text, instead of refusing.
    """
    one, other = _fillers(tokenizer)
    tokens = tokenizer([write(one, i) for i in range(count)])
    differ = tokens != tokenizer([write(other, i) for i in range(count)])
    wanted = torch.tensor([_word_count(write, i) for i in range(count)])
    found = differ.sum(dim=1)
    if (found < wanted).any() and not keep_cut:
        row = int((found < wanted).nonzero()[0])
        text = write("_", row)
        raise InputError(
            f"the pseudo-word of text {row} is cut off: this encoder reads {tokens.shape[1]} tokens; shorten {text[:60]!r}..."
        )
    order = differ.int().argsort(dim=1, descending=True, stable=True)[:, : max(1, int(found.max()))]
    return Prompts(tokens, torch.where(differ.gather(1, order), order, NOWHERE))


def prompts_with_word(tokenizer: Callable, parts: Sequence[tuple[str, str]]) -> Prompts:
    """Tokenises texts of ``(before, behind)`` to ids and positions of the word between them."""
    return locate_words(tokenizer, lambda word, i: f"{parts[i][0]}{word}{parts[i][1]}", len(parts))


def _word_count(write: Callable[[str, int], str], number: int) -> int:
    """Number of words written into the text: its growth when a word grows by one letter."""
    return len(write("__", number)) - len(write("_", number))


def _fillers(tokenizer: Callable) -> tuple[str, str]:
    """Two words of one token each, so that texts with them differ only at their positions."""
    for pair in FILLERS:
        first, second = tokenizer([f"see {word} now" for word in pair])
        if int((first != second).sum()) == 1:
            return pair
    raise InputError("this encoder's tokenizer splits every short word; pseudo-words have no place in it")
