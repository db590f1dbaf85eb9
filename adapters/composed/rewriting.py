"""Rewriting a caption by a wish: results of rewriters, their counts, and the prompt of language models."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from e2.adapters.composed.lexicon import Value

Status = Literal["rewritten", "kept", "failed"]


class Rewriting(str):
    """Rewritten caption, a text with its status.

    Attributes:
        status: ``rewritten``; ``kept``: the caption as it was, because the wish changes nothing in it; or ``failed``: no
            usable answer, so caption and wish are joined instead.
        reason: reason for keeping or failing.
        not_understood: words of the wish that were left out.
        unwanted: values that results should not have.
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
        """Steps worth showing besides the text."""
        told: dict[str, Any] = {}
        if self.status != "rewritten":
            told[self.status] = self.reason
        if self.unwanted:
            told["unwanted"] = [value.name for value in self.unwanted]
        if self.not_understood:
            told["not understood"] = " ".join(self.not_understood)
        return told


class Rewriter(Protocol):
    """Rewrites captions of references by wishes."""

    @property
    def info(self) -> dict[str, Any]: ...

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> Sequence[str]: ...  # Rewriting if more is known


def answered(caption: str, answer: str) -> Rewriting:
    """Turns a language model's caption into a rewriting."""
    if answer.casefold() == caption.casefold():
        return Rewriting(answer, "kept", "the answer is the unchanged caption")
    return Rewriting(answer)


def failed(caption: str, wish: str, reason: str) -> Rewriting:
    """Joins caption and wish, for lack of an answer."""
    return Rewriting(f"{caption}, {wish}", "failed", reason)


def told(rewritten: Sequence[str]) -> list[Rewriting]:
    """Results of a rewriter; plain texts count as rewritten."""
    return [each if isinstance(each, Rewriting) else Rewriting(each) for each in rewritten]


def tally(rewritings: Iterable[Rewriting]) -> dict[str, Any]:
    """Counts captions rewritten, kept and failed (by reason), and wishes with words that were not understood.

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
    """Builds the chat that asks for the caption of the wanted product."""
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": f"Caption: {caption}\nWish: {wish}"}]
