"""Edits a caption's text so that it stays readable."""

import re

_LINKS = re.compile(
    r"(?:,?\s*\b(?:with|and|in|of|a|an|the|has|have|having|featuring|no|or|under|over|at|on|from|dyed|coloured|colored)\b)+[\s,]*$",
    re.IGNORECASE,
)
_LED = re.compile(r",?\s*\b(?:in|dyed|coloured|colored)\s+$", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?]+(?:[.!?](?!\s|$)[^.!?]*)*[.!?]*\s*")
_STUMP = re.compile(r"^\W*(?:\w+\W+){0,3}(?:comes|has|have|is|made|include|includes|find|note|it|for)?\W*$", re.IGNORECASE)
_THING_LINK = re.compile(
    r",?\s*\b(?P<link>with|has|have|having|featuring|and)\b(?P<between>(?:\s+[\w'-]+){0,4}\s*)$", re.IGNORECASE
)
_GOES_ON = re.compile(r"^\s*[^\W\d_]")
_GOES_ON_LIST = re.compile(r"^(?:\s*,)?\s*and\b|^\s*,(?=\s*(?:a|an|two|three)\b)", re.IGNORECASE)
_LINK_FIRST = re.compile(r"^\s*(?:with|and|in|of|for|by|at|on|or)\b", re.IGNORECASE)


def cut_out(caption: str, start: int, end: int, *, thing: bool = False, alone: bool = False) -> str:
    """Removes characters ``start`` to ``end`` and the small words leading up to them.

    Args:
        start, end: characters to remove.
        thing: they are a noun, to be removed with its attributes: "with white stripes" as a whole.
        alone: no noun follows that they describe: "in grey" as a whole.

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
    elif alone and _LED.search(before):
        before = _LED.sub("", before)
    elif not _GOES_ON.match(behind) or _LINK_FIRST.match(behind):  # the small words lead to nothing now
        before = _LINKS.sub("", before)
    return _tidy(_without_stump(f"{before} {behind}", len(before))) or caption


def sentence_at(text: str, position: int) -> tuple[int, int]:
    """Start and end of the sentence that contains a position."""
    found = next((each for each in _SENTENCE.finditer(text) if each.start() <= position < each.end()), None)
    return (found.start(), found.end()) if found else (0, len(text))


def _without_stump(text: str, position: int) -> str:
    """Drops the edited sentence if only a stump ("It comes.") remains and there are others."""
    start, end = sentence_at(text, max(0, position - 1))
    rest = text[:start] + text[end:]
    return rest if rest.strip() and _STUMP.match(text[start:end]) else text


def put_instead(caption: str, start: int, end: int, words: str) -> str:
    """Replaces characters ``start`` to ``end`` by words."""
    return f"{caption[:start]}{words}{caption[end:]}"


def put_before(caption: str, position: int | None, words: str) -> str:
    """Inserts words before a position of the caption, or at its end."""
    if position is None:
        return f"{caption.rstrip(' .')}, {words}" if caption.strip() else words
    return f"{caption[:position]}{words} {caption[position:]}"


def put_behind(caption: str, words: str) -> str:
    """Appends a thing that the product has."""
    if not caption.strip():
        return words
    link = "and" if re.search(r"\bwith\b", caption) else "with"
    return f"{caption.rstrip(' .')} {link} {words}"


def _tidy(text: str) -> str:
    return re.sub(r"\s+([,.;!?])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
