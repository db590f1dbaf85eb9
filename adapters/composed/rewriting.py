"""Rewriting a caption by a wish: what every rewriter gives back, how often it worked, and what a language model is asked."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from e2.adapters.composed.lexicon import Value

Status = Literal["rewritten", "kept", "failed"]


class Rewriting(str):
    """The caption of what is wanted, a text that knows what became of the old one.

    Attributes:
        status: ``rewritten``; ``kept``: the caption as it was, because the wish changes nothing in it; or ``failed``: no
            usable answer came, and caption and wish stand side by side instead.
        reason: why it was kept or failed.
        not_understood: words of the wish that were left out.
        unwanted: values that no result should have.
    """

    status: Status
    reason: str
    not_understood: tuple[str, ...]
    unwanted: tuple[Value, ...]

    def __new__(
        cls,
        text: str,
        status: Status = "rewritten",
        reason: str = "",
        not_understood: Iterable[str] = (),
        unwanted: Iterable[Value] = (),
    ) -> "Rewriting":
        self = super().__new__(cls, text)
        self.status, self.reason = status, reason
        self.not_understood, self.unwanted = tuple(not_understood), tuple(unwanted)
        return self

    @property
    def steps(self) -> dict[str, Any]:
        """What is worth showing besides the text."""
        told: dict[str, Any] = {}
        if self.status != "rewritten":
            told[self.status] = self.reason
        if self.unwanted:
            told["unwanted"] = [value.name for value in self.unwanted]
        if self.not_understood:
            told["not understood"] = " ".join(self.not_understood)
        return told


class Rewriter(Protocol):
    """Captions of references and wishes -> captions of what is wanted."""

    @property
    def info(self) -> dict[str, Any]: ...

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> Sequence[str]: ...  # Rewriting where more is known


def answered(caption: str, answer: str) -> Rewriting:
    """A language model's caption as a rewriting."""
    if answer.casefold() == caption.casefold():
        return Rewriting(answer, "kept", "the answer is the caption as it was")
    return Rewriting(answer)


def failed(caption: str, wish: str, reason: str) -> Rewriting:
    """Caption and wish side by side, for want of an answer."""
    return Rewriting(f"{caption}, {wish}", "failed", reason)


def told(rewritten: Sequence[str]) -> list[Rewriting]:
    """What a rewriter gave; its plain texts are taken as rewritten."""
    return [each if isinstance(each, Rewriting) else Rewriting(each) for each in rewritten]


def tally(rewritings: Iterable[Rewriting]) -> dict[str, Any]:
    """How many were rewritten, kept, failed (by reason), and how many wishes had words that were not understood.

    Example:
        >>> tally([Rewriting("a red coat"), failed("a coat", "red", "no answer within 60 s")])
        {'rewritten': 1, 'kept': 0, 'failed': 1, 'not_understood': 0, 'reasons': {'no answer within 60 s': 1}}
    """
    listed = list(rewritings)
    found = Counter(each.status for each in listed)
    counts: dict[str, Any] = {status: found[status] for status in ("rewritten", "kept", "failed")}
    reasons = Counter(each.reason for each in listed if each.status == "failed")
    return counts | {"not_understood": sum(bool(each.not_understood) for each in listed), "reasons": dict(reasons)}


INSTRUCTION = (
    "You edit captions of product photos. You get the caption of a photo and a shopper's wish for something like it. "
    "Answer with one short caption of the wanted product: what the wish changes is changed, all the rest is kept, and "
    "nothing is said about what should not be there. No explanation."
)


def rewrite_messages(caption: str, wish: str) -> list[dict[str, str]]:
    """A chat that asks for the caption of the wanted product."""
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": f"Caption: {caption}\nWish: {wish}"}]
