"""CIReVL (Karthik et al., ICLR 2024): captions the reference, rewrites the caption by the wish, and searches with the text.

Nothing is fitted, and every step is readable: caption, wish, rewritten text.
"""

from typing import Any

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.reference_captions import CaptionSource
from e2.adapters.composed.rewriting import Rewriter, told
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.encoder import Encoder


class CIReVL(Composer):
    """Searches with the rewritten caption.

    Args:
        captions: source of the references' captions.
        rewriter: None = the offline rule-based editor.
        preset: joins several captions of a wish.
    """

    name = "cirevl"

    def __init__(
        self, encoder: Encoder, captions: CaptionSource, rewriter: Rewriter | None = None, *, preset: str | None = None
    ):
        super().__init__(encoder, preset=preset)
        self.captions, self.rewriter = captions, rewriter or RuleEditor()

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, **self.captions.info, **self.rewriter.info}

    def _compose(self, references: References, wishes: list[str]) -> Composed:
        captions = references.once(self, lambda: self.captions.captions(references))
        rewritten = told(self.rewriter.rewrite(captions, wishes))
        steps = [
            {"caption": caption, "wish": wish, "rewritten": str(text), **text.steps}
            for caption, wish, text in zip(captions, wishes, rewritten, strict=True)
        ]
        return Composed(self.encoder.encode_texts(rewritten), steps, rewritten)
