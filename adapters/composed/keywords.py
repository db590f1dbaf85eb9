"""Finds the keywords of a caption, which LinCIR replaces by the pseudo-word.

LinCIR takes runs of nouns, adjectives and determiners from a part-of-speech tagger. Fashion texts contain little else, so here
a run is anything between function words, forms of *be* and *have*, and punctuation: without a tagger, for any brand name.
"""

import re

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    with without in on at of for from by to into onto under over and or but nor as than then so if while when where which
    who that what is are was were be been being has have had having do does did it its it's they them their he she his her
    you your we our i not very more less most least also just only up down out off about like this these those there here
    can will would may might should could comes come made featuring features feature
    """,
    )
)
_WORD = re.compile(r"[^\W_][\w'&+/.-]*", re.UNICODE)
_DETERMINERS = frozenset(("a", "an", "the"))

Span = tuple[int, int]  # start and end in characters


def keyword_spans(text: str) -> list[Span]:
    """Maximal runs of keywords, in order; a run of determiners alone is none."""
    spans: list[Span] = []
    run: list[re.Match] = []
    end = 0
    for word in [*_WORD.finditer(text), None]:
        broken = word is None or word.group().lower() in FUNCTION_WORDS or text[end : word.start()].strip()
        if broken and run:
            if any(w.group().lower() not in _DETERMINERS for w in run):
                spans.append((run[0].start(), run[-1].end()))
            run = []
        if word is None:
            break
        end = word.end()
        if word.group().lower() not in FUNCTION_WORDS:
            run.append(word)
    return [(start, start + len(text[start:stop].rstrip("."))) for start, stop in spans]


def with_word(text: str, word: str) -> str:
    """Replaces every keyword run by the word; ``a photo of <word>`` if nothing else would be left."""
    spans = keyword_spans(text)
    if not spans:
        return f"a photo of {word} that {text}"
    starts, ends = [0, *(stop for _, stop in spans)], [*(start for start, _ in spans), len(text)]
    between = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    if not any(letter.isalnum() for part in between for letter in part):
        return f"a photo of {word}"
    return f" {word} ".join(between).strip()  # spaces make the word a token of its own
