"""Turns the HTML of shop texts into one plain line."""

import html
import re
from collections.abc import Iterator

from e2.extras import extra

MARKUP = re.compile(r"<[a-zA-Z/!][^<>]*>")
ENTITY = re.compile(r"&(#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]\w*);")
HIDDEN = frozenset(["script", "style", "head", "title", "template", "noscript", "iframe", "object", "svg", "math"])
INLINE = frozenset(
    ["a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd"]
    + ["label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"]
)
ENDS = (".", "!", "?", ":", ";", ",", "…")  # a line of text that ends so needs no full stop before the next


def plain_text(text: str) -> str:
    """Resolves entities, drops markup, scripts and styles, and joins the lines of paragraphs and lists into one.

    A line that ends without punctuation gets a full stop before the next one. Text without markup is only collapsed; what
    was escaped twice (``&lt;p&gt;``) is resolved twice.

    >>> plain_text("<p>Soft <b>w</b>ool &amp; silk</p><ul><li>95&nbsp;% wool<li>Wash cold.</ul>")
    'Soft wool & silk. 95 % wool. Wash cold.'
    >>> plain_text("size < 40  &  up")
    'size < 40 & up'
    """
    for _ in range(2):
        if MARKUP.search(text):
            text = _joined(_lines(text))
        elif ENTITY.search(text):
            text = html.unescape(text)
    text = " ".join(text.split())
    if text.isprintable():
        return text
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _joined(lines: Iterator[str]) -> str:
    told = [line for line in (" ".join(line.split()) for line in lines) if line]
    return " ".join(line if line.endswith(ENDS) else f"{line}." for line in told[:-1]) + " " + "".join(told[-1:])


def _lines(text: str) -> Iterator[str]:
    """Yields the text between tags that break lines."""
    with extra("sources", "HTML in texts"):
        from lxml import etree
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    root = etree.HTML(text.replace("\0", " ").encode("utf-8", "replace"), parser)
    line, hidden = [""], 0
    for event, node in etree.iterwalk(root, events=("start", "end")) if root is not None else ():
        hidden += (node.tag in HIDDEN) * (1 if event == "start" else -1)
        if node.tag not in INLINE:
            yield "".join(line)
            line = []
        if not hidden:
            line.append((node.text if event == "start" else node.tail) or "")
    yield "".join(line)
