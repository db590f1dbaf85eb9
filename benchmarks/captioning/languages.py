"""Guesses whether texts are in English, well enough for a warning."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

ENGLISH = "the a and with of in on for to is it this that from by has at or be are"
OTHERS = {
    "German": "der die das und mit ein eine einer aus für im ist den dem von zu auf auch nicht",
    "French": "le la les et avec un une des du en pour est aux dans sur au ce cette",
    "Spanish": "el la los las y con un una de del para en es por al su",
    "Italian": "il lo la gli e con un una di del della per in è su nel",
    "Portuguese": "o os as e com um uma de do da dos para em é no na",
    "Dutch": "de het een en met van voor in is op te uit bij",
    "Polish": "i z na w do ze jest dla od oraz się",
    "Turkish": "ve ile bir için bu da de olan",
}
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
LETTERS = re.compile(r"[^\W\d_]")


def not_english(texts: Sequence[str]) -> str | None:
    """Explains why texts seem not to be English: another script, or another language's function words; None if they do.

    Product names without small words pass for English.
    """
    everything = "\n".join(texts)
    letters = len(LETTERS.findall(everything))
    if letters and len(LATIN.findall(everything)) < letters / 2:
        return "most letters here are of another script, and words without spaces between them count as one"
    counts = Counter(everything.casefold().split())
    own = _count(counts, ENGLISH.split())
    language = max(OTHERS, key=lambda name: _count(counts, OTHERS[name].split()))
    return f"the texts read like {language}" if _count(counts, OTHERS[language].split()) > max(own, 1) else None


def _count(counts: Counter[str], words: Iterable[str]) -> int:
    return sum(counts[word] for word in words)
