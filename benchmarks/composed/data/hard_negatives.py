"""Counts wrong results that are half right: the change without the garment, the garment without the change."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class HardNegatives:
    """Tags by which half-right wrong answers are counted."""

    tags: np.ndarray  # (G, E) codes of the gallery; -1: missing
    reference: np.ndarray  # (Q, E) codes of the references; -1: missing
    wanted: np.ndarray  # (Q, E) codes of right answers; -1: any
    changed: np.ndarray  # (Q, E) bool, where they differ

    def count(self, top: np.ndarray) -> dict[str, np.ndarray]:
        """Counts each kind in the top k: (Q, k) gallery rows, -1 for none -> (Q,) each."""
        shown = self.tags[top]  # (Q, k, E)
        as_wanted = (shown == self.wanted[:, None]) | (self.wanted[:, None] < 0)
        change = (as_wanted | ~self.changed[:, None]).all(axis=2)
        garment = (as_wanted | self.changed[:, None]).all(axis=2)
        unchanged = ((shown == self.reference[:, None]) | (self.reference[:, None] < 0)).all(axis=2)
        kinds = {
            "right": change & garment,
            "right_change_wrong_garment": change & ~garment,
            "right_garment_unchanged": unchanged,
        }
        return {name: (kind & (top >= 0)).sum(axis=1) for name, kind in kinds.items()}
