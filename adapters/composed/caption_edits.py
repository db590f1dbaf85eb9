"""Edits of a caption's text that leave it readable."""

import re

_LINKS = re.compile(r"(?:,?\s*\b(?:with|and|in|of|a|an|the|has|have|having|featuring|no|or)\b)+[\s,]*$", re.IGNORECASE)
_THING_LINK = re.compile(
    r",?\s*\b(?P<link>with|has|have|having|featuring|and)\b(?P<between>(?:\s+[\w'-]+){0,4}\s*)$", re.IGNORECASE
)
_GOES_ON = re.compile(r"^\s*[^\W\d_]")
_GOES_ON_LIST = re.compile(r"^(?:\s*,)?\s*and\b|^\s*,(?!\s*(?:with|in)\b)", re.IGNORECASE)
_LINK_FIRST = re.compile(r"^\s*(?:with|and|in|of|for|by|at|on|or)\b", re.IGNORECASE)


def cut_out(caption: str, start: int, end: int, *, thing: bool = False) -> str:
    """The caption without characters ``start`` to ``end`` and the small words that led up to them.

    Args:
        caption: the text.
        start, end: what goes.
        thing: it is a noun, so that what describes it goes with it: "with white stripes" as a whole.

    Example:
        >>> cut_out("a shirt with a hood", 15, 19), cut_out("a striped shirt", 2, 9)
        ('a shirt', 'a shirt')
    """
    before, behind = caption[:start], caption[end:]
    link = _THING_LINK.search(before) if thing else None
    if link:
        before, goes_on = before[: link.start()], _GOES_ON_LIST.match(behind)
        if goes_on and link["link"].lower() != "and":  # "with a collar and a hood" -> "with a hood"
            before, behind = f"{before} {link['link']}", behind[goes_on.end() :]
    elif not _GOES_ON.match(behind) or _LINK_FIRST.match(behind):  # nothing follows that the small words could lead up to
        before = _LINKS.sub("", before)
    return _tidy(f"{before} {behind}") or caption


def put_instead(caption: str, start: int, end: int, words: str) -> str:
    """Words in the place of characters ``start`` to ``end``."""
    return f"{caption[:start]}{words}{caption[end:]}"


def put_before(caption: str, place: int | None, words: str) -> str:
    """Words before a place of the caption; at its end where there is none."""
    if place is None:
        return f"{caption.rstrip(' .')}, {words}" if caption.strip() else words
    return f"{caption[:place]}{words} {caption[place:]}"


def put_behind(caption: str, words: str) -> str:
    """A thing that the product has, told at the end."""
    if not caption.strip():
        return words
    link = "and" if re.search(r"\bwith\b", caption) else "with"
    return f"{caption.rstrip(' .')} {link} {words}"


def _tidy(text: str) -> str:
    return re.sub(r"\s+([,.;!?])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
