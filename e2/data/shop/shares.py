"""Divides products into train, val and test so that none of one title is in two of them."""

import hashlib
from dataclasses import dataclass

from e2.errors import InputError


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
        """Assigns train, val or test by the seed and the title alone."""
        text = f"split\n{self.seed}\n{' '.join(title.casefold().split())}"
        place = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big") / 2**64
        return "val" if place < self.val else "test" if place < self.val + self.test else "train"
