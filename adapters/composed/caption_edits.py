"""Edits of a caption's text that leave it readable."""

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
    """The caption without characters ``start`` to ``end`` and the small words that led up to them.

    Args:
        caption: the text.
        start, end: what goes.
        thing: it is a noun, so that what describes it goes with it: "with white stripes" as a whole.
        alone: no noun that it describes stands right behind: "in grey" as a whole.

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
    elif not _GOES_ON.match(behind) or _LINK_FIRST.match(behind):  # nothing follows that the small words could lead up to
        before = _LINKS.sub("", before)
    return _tidy(_without_stump(f"{before} {behind}", len(before))) or caption


def sentence_at(text: str, place: int) -> tuple[int, int]:
    """Where the sentence that holds a place starts and ends."""
    found = next((each for each in _SENTENCE.finditer(text) if each.start() <= place < each.end()), None)
    return (found.start(), found.end()) if found else (0, len(text))


def _without_stump(text: str, place: int) -> str:
    """Without the sentence that was cut, where "It comes." is all that is left of it and others remain."""
    start, end = sentence_at(text, max(0, place - 1))
    rest = text[:start] + text[end:]
    return rest if rest.strip() and _STUMP.match(text[start:end]) else text


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
