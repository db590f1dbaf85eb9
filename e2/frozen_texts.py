"""Outputs of the frozen part of a text tower: each text runs through it once and is looked up from then on."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from e2.packing import Layout
from e2.text_front import TextFront, TextRows
from e2.texts import PaddedEnds, text_ends, text_keys

AT_ONCE = 128  # texts the tower sees at a time


class FrozenTexts:
    """Texts behind a frozen front: those given beforehand are looked up, others run through it whenever they are met.

    Args:
        front: the frozen part of the tower.
    """

    def __init__(self, front: TextFront):
        self.front = front
        self._parts: list[Tensor] = []  # (T, W) of many texts each, which may lie in mapped files
        self._places: dict[int, tuple[int, int, int]] = {}  # key of a text -> part, first and last row + 1

    def __call__(self, tokens: Tensor, layout: Layout | None = None) -> Tensor:
        """Token ids (u, L), laid out if they are already -> (u, D), with gradients of what learns behind the front."""
        keys = self._keys(tokens)
        found = {key: self._rows(key) for key in keys if key in self._places}
        if new := self.unknown(keys):
            made = self.encode(tokens[new])
            found |= zip((keys[row] for row in new), made.rows.split(made.lengths.tolist()), strict=True)
        rows = [found[key] for key in keys]
        kept = TextRows(torch.cat(rows), torch.tensor([len(part) for part in rows]))
        return self.front.finish(tokens, kept.to(tokens.device), layout)

    def unknown(self, keys: Sequence[int]) -> list[int]:
        """Positions of the texts that are not there, one of each text."""
        return list({key: row for row, key in enumerate(keys) if key not in self._places}.values())

    def encode(self, tokens: Tensor, begun: TextRows | None = None) -> TextRows:
        """Runs the frozen front: (u, L) -> rows on the CPU; ``begun``: the rows of the first texts, if made already."""
        parts = [begun] if begun else []
        rest = tokens[len(begun.lengths) if begun else 0 :]
        parts += [self.front.run(part).to("cpu") for part in rest.split(AT_ONCE) if len(part)]
        return TextRows(torch.cat([part.rows for part in parts]), torch.cat([part.lengths for part in parts]))

    def add(self, keys: Sequence[int], kept: TextRows) -> None:
        """Takes over rows of texts, each given once."""
        stops = kept.lengths.cumsum(0)
        places = zip((stops - kept.lengths).tolist(), stops.tolist(), strict=True)
        self._places |= {key: (len(self._parts), *place) for key, place in zip(keys, places, strict=True)}
        self._parts.append(kept.rows)

    def _rows(self, key: int) -> Tensor:
        part, start, stop = self._places[key]
        return self._parts[part][start:stop]

    def _keys(self, tokens: Tensor) -> list[int]:
        """Keys of texts, the same whatever length their batch was cut to."""
        ends = text_ends(self.front.clip)
        padding = ends.padding if isinstance(ends, PaddedEnds) else 0
        return text_keys(F.pad(tokens, (0, self.front.clip.context_length - tokens.shape[1]), value=padding)).tolist()
