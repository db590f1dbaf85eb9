"""Plans a step in the loader's workers, as far as it depends on the contents of its batch.

A step that asked a GPU for it (how long is each text, which products have a tag) would wait for all the work that is queued
there.
"""

from dataclasses import dataclass, replace

from e2.batch import Batch
from e2.packing import lay_out
from e2.targets import batch_targets
from e2.texts import Ends, cut_behind


@dataclass(frozen=True)
class Planner:
    """Cuts the texts of a batch to the longest, lays them out, and finds the targets of its losses.

    Args:
        ends: rule for the end of a text (:func:`e2.texts.text_ends`).
        packs: the texts are encoded packed.
        chunk_size: texts encoded at a time, None = all.
        same_tag_positive: setting of the loss.
    """

    ends: Ends | None
    packs: bool
    chunk_size: int | None
    same_tag_positive: bool

    def __call__(self, batch: Batch) -> Batch:
        tokens = cut_behind(self.ends, batch.tokens).contiguous()  # a copy from pinned memory is not waited for
        layouts = None
        if self.packs and self.ends is not None:
            layouts = [lay_out(self.ends, part) for part in tokens.split(self.chunk_size or len(tokens))]
        targets = batch_targets(batch.text_index, batch.tag_index, same_tag_positive=self.same_tag_positive)
        return replace(batch, tokens=tokens, layouts=layouts, targets=targets)
