"""What a language model is asked, and how its answer is read."""

from collections.abc import Sequence
from typing import Any, Protocol

LONGEST_ANSWER = 400  # characters; an answer beyond is chatter, of which the text tower reads the start


class Rewriter(Protocol):
    """Captions of references and wishes -> captions of what is wanted."""

    @property
    def info(self) -> dict[str, Any]: ...

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[str]: ...


def rewrite_messages(caption: str, wish: str) -> list[dict[str, str]]:
    """A chat that asks for the caption of the wanted product."""
    system = (
        "You edit captions of product photos. You get the caption of a photo and a shopper's wish for something like it. "
        "Answer with one short caption of the wanted product: what the wish changes is changed, all the rest is kept, and "
        "nothing is said about what should not be there. No explanation."
    )
    return [{"role": "system", "content": system}, {"role": "user", "content": f"Caption: {caption}\nWish: {wish}"}]


def first_line(answer: str) -> str:
    """The answer without quotes, labels, reasoning or further lines."""
    answer = answer.rpartition("</think>")[2]
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    line = lines[0] if lines else ""
    for label in ("new caption:", "edited caption:", "caption:", "answer:"):
        if line.lower().startswith(label):
            line = line[len(label) :]
    return line.strip(" \"'*`")[:LONGEST_ANSWER]
