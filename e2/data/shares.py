"""Divides products into train, val and test so that none of one title is in two of them."""

import hashlib
from dataclasses import dataclass

from e2.errors import InputError


def fraction(text: str) -> float:
    """Number from 0 to below 1 that follows from a text alone; those of many texts are spread evenly."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big") / 2**64


@dataclass(frozen=True)
class Shares:
    """Shares of the products that become val and test; products of one title stay together."""

    val: float = 0.0
    test: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.val + self.test >= 1:
            raise InputError(f"--val {self.val} and --test {self.test} leave nothing to train on; give smaller shares")

    def split_of(self, title: str) -> str:
        """Assigns train, val or test by the seed and the title alone, whatever else is in the catalogue."""
        return self.split_at(fraction(f"split\n{self.seed}\n{' '.join(title.casefold().split())}"))

    def split_at(self, place: float) -> str:
        """Split at a place from 0 to 1: val comes first, then test."""
        return "val" if place < self.val else "test" if place < self.val + self.test else "train"
