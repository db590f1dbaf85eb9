"""Turns scraped text into one plain line."""

import html
import re

MARKUP = re.compile(r"<[^<>]*>")


def plain_text(text: str) -> str:
    """Resolves entities, drops markup and unprintable characters, and collapses blanks.

    >>> plain_text("Men&#39;s <b>Tee</b>\\n &amp; Cap")
    "Men's Tee & Cap"
    """
    text = MARKUP.sub(" ", html.unescape(text))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
