"""Tokenises captions into lower-case words separated by single blanks, as COCO caption scores require.

Two tokenizers: pycocoevalcap's (Stanford CoreNLP 3.4.1's PTBTokenizer, a jar) and, without Java, nltk's Treebank word
tokenizer after a split into sentences. Scores after different tokenizers are not comparable, so every result names its own.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from e2.benchmarks.captioning.java import JavaFailed, run_java
from e2.extras import extra

with extra("captioning", "caption scores"):
    from nltk.tokenize import TreebankWordTokenizer
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

PTB = "PTB (CoreNLP 3.4.1, pycocoevalcap)"
NLTK = "nltk Treebank (no Java; not comparable with PTB scores)"
# All line breaks of str.splitlines and Java's readLine: one of these in a caption would shift every later caption to the wrong
# image.
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
SURROGATES = range(0xD800, 0xE000)  # halves of characters, which UTF-8 cannot encode
CLEANING = dict.fromkeys(map(ord, LINE_BREAKS), " ") | dict.fromkeys(SURROGATES)
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")  # nltk's splits off a period only at the end of a text
PTB_TIMEOUT_S, PTB_TIMEOUT_PER_TEXT_S = 120, 0.01


def clean(text: str) -> str:
    """Puts the text on one line, without surrogates."""
    return text.translate(CLEANING)


def tokenize(texts: Sequence[str], java: Path | None) -> list[str]:
    """Tokenises texts by the PTB tokenizer, or nltk's if ``java`` is None, to one string of tokens each; equal texts only
    once.

    Raises:
        JavaFailed: the tokenizer does not run, or gives a wrong number of lines.
    """
    unique = list(dict.fromkeys(clean(text) for text in texts))
    tokenized = [_treebank(text) for text in unique] if java is None else _penn(unique, java)
    by_text = dict(zip(unique, tokenized, strict=True))
    return [by_text[clean(text)] for text in texts]


def _penn(texts: list[str], java: Path) -> list[str]:
    jar = files("pycocoevalcap") / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    options = ("-preserveLines", "-lowerCase", "-encoding", "UTF-8")
    arguments = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", *options]
    text = "".join(f"{text}\n" for text in texts)
    timeout = PTB_TIMEOUT_S + PTB_TIMEOUT_PER_TEXT_S * len(texts)
    lines = run_java(java, arguments, text, timeout=timeout).split("\n")
    if len(lines) != len(texts) + 1:
        raise JavaFailed(f"the PTB tokenizer of {java} gave {len(lines) - 1} lines for {len(texts)} captions")
    return [_words(line.rstrip().split(" ")) for line in lines[:-1]]


def _treebank(text: str) -> str:
    sentences = SENTENCE_END.split(text.lower())
    return _words([word for sentence in sentences for word in TreebankWordTokenizer().tokenize(sentence)])


def _words(tokens: list[str]) -> str:
    return " ".join(token for token in tokens if token not in PUNCTUATIONS)
