"""The offline rewriter: edits a caption, or tags, by the changes that a wish asks for. No model, every step readable."""

import re
from collections.abc import Mapping, Sequence

from adapters.composed.lexicon import Lexicon, Mention
from adapters.composed.wish_parser import Change, parse_wish

_LINKS = r"(?:\b(?:with|and|in|of|a|an|the|has|have|no)\b\s+)*"


class RuleEditor:
    """Rewrites captions by wishes.

    Args:
        vocabulary: entity -> values of a catalogue: its brands, colours and garments are then known by name.
    """

    name = "rules"

    def __init__(self, vocabulary: Mapping[str, Sequence[str]] | None = None):
        self.lexicon = Lexicon(vocabulary)

    @property
    def info(self) -> dict[str, str]:
        return {"rewriter": self.name}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[str]:
        """N captions and N wishes -> N captions of what is wanted."""
        return [self.edit_caption(caption, wish) for caption, wish in zip(captions, wishes, strict=True)]

    def edit_caption(self, caption: str, wish: str) -> str:
        """Values of a kind that the wish names take the old one's place; the rest is added or taken out."""
        for change in parse_wish(wish):
            caption = self._apply(caption, change)
        return caption

    def edit_tags(self, tags: Mapping[str, str], wish: str) -> dict[str, str]:
        """The tags after the wish: those it names changed, those it takes away left out, the others kept."""
        edited = dict(tags)
        for change in parse_wish(wish):
            coming = {mention.kind: mention.value for mention in self.lexicon.mentions(change.come)}
            for mention in self.lexicon.mentions(change.go):
                if mention.kind not in coming and edited.get(mention.kind) == mention.value:
                    del edited[mention.kind]
            edited |= coming
        return edited

    def _apply(self, caption: str, change: Change) -> str:
        coming = self.lexicon.mentions(change.come)
        for mention in self.lexicon.mentions(change.go):
            if mention.kind not in {m.kind for m in coming}:
                caption = _without(caption, change.go[mention.start : mention.end])
        if change.go and not self.lexicon.mentions(change.go):
            caption = _without(caption, change.go)
        for mention in coming:
            caption = self._put(caption, mention)
        rest = _left_over(change.come, coming)
        if not rest or rest.lower() in caption.lower():
            return caption
        link = "and" if re.search(r"\bwith\b", caption) else "with"
        return f"{caption.rstrip(' .')} {link} {rest}" if caption.strip() else rest

    def _put(self, caption: str, mention: Mention) -> str:
        """In place of the first value of the same kind; without one, before the garment, or at the end."""
        old = [m for m in self.lexicon.mentions(caption) if m.kind == mention.kind]
        if any(m.value == mention.value for m in old):
            return caption
        if old:
            return caption[: old[0].start] + mention.value + caption[old[0].end :]
        garment = self._garment(caption)
        if garment is None or mention.kind in ("sleeves", "neckline"):
            return f"{caption.rstrip(' .')}, {mention.value}" if caption.strip() else mention.value
        return f"{caption[: garment.start]}{mention.value} {caption[garment.start :]}"

    def _garment(self, caption: str) -> Mention | None:
        """The last garment named: "denim shirt dress" is a dress."""
        kinds = {"garment", *(self.lexicon.kind_of(word)[0] for word in ("dress", "tshirt"))}
        return next((m for m in reversed(self.lexicon.mentions(caption)) if m.kind in kinds), None)


def _without(caption: str, words: str) -> str:
    """The caption without some words and the small words that led up to them."""
    pattern = rf",?\s*{_LINKS}\b{re.escape(words)}\b"
    return re.sub(r"\s+", " ", re.sub(pattern, "", caption, flags=re.IGNORECASE)).strip(" ,") or caption


def _left_over(text: str, mentions: Sequence[Mention]) -> str:
    """What of the words to come has no known kind: "hood" of "red hood"."""
    starts, ends = [0, *(m.end for m in mentions)], [*(m.start for m in mentions), len(text)]
    gaps = "".join(text[start:end] for start, end in zip(starts, ends, strict=True))
    return " ".join(gaps.split()) if re.search(r"[^\W_]", gaps) else ""
