"""Cleans scraped texts, and normalises brands as sellers type them to one spelling each.

The metadata gives the same maker as ``Nike``, ``NIKE®``, ``by Nike``, ``Brand: Nike`` and ``Visit the NIKE Store``. As the
brand is the only tag, each further spelling would be a class of its own and a false negative for the others.
"""

import html
import re
import unicodedata

MARKUP = re.compile(r"<[^<>]*>")
STORE = re.compile(r"visit\s+the\s+(.+?)\s+store$", re.IGNORECASE)
LABEL = re.compile(r"brand\s*[:\-]\s*", re.IGNORECASE)
BY = re.compile(r"by\s*:?\s+")  # lower case only: "By Malene Birger" is a maker's name
MARKS = re.compile(r"[®™©℠]|\((?:r|tm|c)\)", re.IGNORECASE)
PLACEHOLDERS = frozenset(  # as `brand_key` gives them
    ["unknown", "generic", "na", "none", "null", "nil", "nan", "nobrand", "nonbrand", "nonbranded", "unbranded", "noname"]
    + ["brand", "brandnew", "notavailable", "notapplicable", "notspecified", "unspecified", "other", "others", "various"]
    + ["assorted", "miscellaneous", "default", "tbd", "test"]
)


def plain_text(text: str) -> str:
    """Resolves entities, drops markup and unprintable characters, and collapses blanks.

    >>> plain_text("Men&#39;s <b>Tee</b>\\n &amp; Cap")
    "Men's Tee & Cap"
    """
    text = MARKUP.sub(" ", html.unescape(text))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def clean_brand(text: str) -> str:
    """Strips a brand of what surrounds it on the shop's pages.

    >>> clean_brand("Visit the Levi&#39;s® Store"), clean_brand("by\\n   Nike,")
    ("Levi's", 'Nike')
    """
    text = " ".join(MARKS.sub("", plain_text(text)).split())
    if store := STORE.match(text):
        text = store[1]
    for lead in (LABEL, BY):
        text = lead.sub("", text, count=1) if lead.match(text) else text
    return text.strip(' .,;:|-_/"')


def brand_key(brand: str) -> str:
    """Key shared by all spellings of a brand: letters and digits only, without case and accents; may be empty.

    >>> brand_key("Levi's") == brand_key("LEVIS"), brand_key("Hermès"), brand_key("-")
    (True, 'hermes', '')
    """
    return "".join(letter for letter in unicodedata.normalize("NFKD", brand).casefold() if letter.isalnum())


def is_placeholder(key: str) -> bool:
    """True if a brand's key means "none" (``Unknown``, ``Generic``, ``N/A``)."""
    return key in PLACEHOLDERS
