"""Computes METEOR 1.5 with pycocoevalcap's jar (Denkowski and Lavie, "Meteor Universal", WMT 2014).

The jar aligns each caption with its references and gives 23 counts; `meteor_score` is the paper's formula over them, for one
caption or for summed counts (the corpus score, which a bootstrap resamples).

The jar spends most time and memory on a table of five million paraphrases. Only those whose words all occur in the texts can
match, so it is given only these. Most of the rest goes into its normalizer, some twenty regular expressions that leave plain
words alone; so it is given only the other texts, each once. The counts stay the same.
"""

import gzip
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, feather

from e2.benchmarks.captioning.java import JavaFailed, run_java
from e2.data.cache import cache_folder, file_stamps, key
from e2.errors import InputError
from e2.files import atomic_path

FOLDER = Path(str(files("pycocoevalcap") / "meteor"))
JAR = FOLDER / "meteor-1.5.jar"
COUNTS = 23  # numbers per caption; see _fields
CHUNKS = 20  # index of the number of chunks that the matched words form
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75  # the jar's parameters for English
STAGES = np.array([1.0, 0.6, 0.8, 0.6])  # weights of exact, stem, synonym and paraphrase matches
JAVA_HEAP = "-Xmx2G"
TIMEOUT_S, TIMEOUT_PER_CAPTION_S = 300, 0.05
PER_PROCESS = 2000  # captions from which a second Java process pays off
AS_TEXT = csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False)
BLOCK = 2**24  # bytes of the table at a time
TOO_LONG = 1000  # words: time and memory grow with their square, and 21,000 words of one caption fail a whole run
PLAIN = re.compile("[a-z0-9 ]*")  # texts that the normalizer leaves alone


def meteor_counts(hypotheses: Sequence[str], references: Sequence[Sequence[str]], java: Path) -> np.ndarray:
    """Counts (N, 23) of the best reference's alignment, for tokenized captions and references; zeros if one is `too_long`.

    Raises:
        JavaFailed: Java fails, hangs, or gives other than one line of 23 numbers per caption.
    """
    short = [row for row, texts in enumerate(zip(hypotheses, references, strict=True)) if not too_long(*texts)]
    counts = np.zeros((len(hypotheses), COUNTS))
    if short:
        counts[short] = _counts([hypotheses[row] for row in short], [references[row] for row in short], java)
    return counts


def too_long(hypothesis: str, references: Sequence[str]) -> bool:
    """True if METEOR leaves out a caption for its own length or its references'."""
    return any(text.count(" ") >= TOO_LONG for text in (hypothesis, *references))


def _counts(hypotheses: Sequence[str], references: Sequence[Sequence[str]], java: Path) -> np.ndarray:
    # Without the bars that separate the fields of the jar's requests.
    texts = [text.replace("|||", "").replace("  ", " ") for text in (*hypotheses, *chain.from_iterable(references))]
    normal = normalized(texts, java)
    rest = (normal[text] for text in texts[len(hypotheses) :])
    requests = [
        " ||| ".join(["SCORE", *islice(rest, len(refs)), normal[text]]) for text, refs in zip(texts, references, strict=False)
    ]
    lines = list(dict.fromkeys(requests))
    parts = np.array_split(np.arange(len(lines)), min(os.cpu_count() or 1, 1 + len(lines) // PER_PROCESS))
    with tempfile.TemporaryDirectory(prefix="e2-meteor-") as folder, ThreadPoolExecutor(len(parts)) as pool:
        table = Path(folder) / "paraphrases.gz"
        write_paraphrases({word for text in normal.values() for word in f"{text} {text.lower()}".split()}, table)
        done = pool.map(lambda rows: _align([lines[row] for row in rows], table, java), parts)
        counts = _without_whole_chunks(np.concatenate(list(done)))
    row = {line: number for number, line in enumerate(lines)}
    return counts[[row[request] for request in requests]]


def normalized(texts: Iterable[str], java: Path) -> dict[str, str]:
    """Normalises each text as the jar's option ``-norm`` does, by the jar's own normalizer if it could make a difference.

    Raises:
        JavaFailed: it fails, or gives a wrong number of lines.
    """
    normal = {text: text for text in texts}
    hard = [text for text in normal if not PLAIN.fullmatch(text)]
    if hard:
        arguments = ["-cp", str(JAR), "edu.cmu.meteor.util.Normalizer", "en", "true"]  # true: keep punctuation
        lines = _lines_of(java, arguments, hard)
        if len(lines) != len(hard):
            raise JavaFailed(f"METEOR's normalizer of {java} gave {len(lines)} lines for {len(hard)} texts")
        normal |= zip(hard, lines, strict=True)
    return normal


def meteor_score(counts: np.ndarray) -> np.ndarray:
    """(..., 23) counts, or their sums or means over captions -> (...) METEOR in 0..1; 0 where nothing matches."""
    lengths, functions, content, function = _fields(counts)
    chunks, words = counts[..., CHUNKS], counts[..., 21:23].sum(-1) / 2
    matched = DELTA * (content @ STAGES) + (1 - DELTA) * (function @ STAGES)  # (..., 2): of the caption, of the reference
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = np.moveaxis(matched / (DELTA * (lengths - functions) + (1 - DELTA) * functions), -1, 0)
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        score = mean * (1 - GAMMA * (chunks / words) ** BETA)
    return np.nan_to_num(score, nan=0.0)


def _fields(counts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Lengths and function words (..., 2); content and function word matches (..., 2, 4); caption first, then reference."""
    stages = counts[..., 4:CHUNKS].reshape(*counts.shape[:-1], 4, 4)  # exact, stem, synonym, paraphrase
    content, function = np.swapaxes(stages[..., :2], -1, -2), np.swapaxes(stages[..., 2:], -1, -2)
    return counts[..., 0:2], counts[..., 2:4], content, function


def _without_whole_chunks(counts: np.ndarray) -> np.ndarray:
    """Drops the chunk of captions that match in one piece, which have no penalty, alone or in a corpus."""
    lengths, _, content, function = _fields(counts)
    whole = ((content + function).sum(-1) == lengths).all(-1) & (counts[:, CHUNKS] == 1)
    counts[whole, CHUNKS] = 0
    return counts


def _align(lines: list[str], table: Path, java: Path) -> np.ndarray:
    output = _lines_of(java, [JAVA_HEAP, "-jar", str(JAR), "-", "-", "-stdio", "-l", "en", "-lower", "-a", str(table)], lines)
    try:
        counts = np.array([line.split() for line in output], dtype=float)
    except ValueError:
        counts = np.empty(0)
    if counts.shape != (len(lines), COUNTS):
        raise JavaFailed(f"METEOR of {java} gave {len(output)} usable lines for {len(lines)} captions")
    return counts


def _lines_of(java: Path, arguments: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Lines that one of the jar's programs prints for lines of input."""
    timeout = TIMEOUT_S + TIMEOUT_PER_CAPTION_S * len(lines)
    return run_java(java, arguments, "".join(f"{line}\n" for line in lines), timeout=timeout).split("\n")[:-1]


def write_paraphrases(words: set[str], path: Path) -> None:
    """Writes the entries of METEOR's table that consist of the words, in the jar's format: a probability (unread) and two
    phrases.
    """
    table = _paraphrases()
    column, starts = table["word"].chunk(0), np.flatnonzero(table["starts"].to_numpy())
    names, ids = column.dictionary.to_pylist(), column.indices.to_numpy()
    known = np.array([name in words for name in names])
    whole = np.logical_and.reduceat(known[ids], starts[::2])  # entries without an unknown word
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        for entry in np.flatnonzero(whole):
            first, second, end = [*starts[2 * entry : 2 * entry + 3], len(ids)][:3]
            phrases = (" ".join(names[word] for word in ids[phrase]) for phrase in (slice(first, second), slice(second, end)))
            file.write("\n".join(["1", *phrases, ""]))


def _paraphrases() -> pa.Table:
    """All words of all phrases, two phrases per entry; cached, as the original is slow to read.

    Columns: ``word`` (dictionary-encoded) and ``starts``, whether it is the first of its phrase.
    """
    source = FOLDER / "data" / "paraphrase-en.gz"
    cached = cache_folder() / "meteor" / f"paraphrases-{key(file_stamps([source]))}.feather"
    try:
        return feather.read_table(cached).combine_chunks()
    except (OSError, pa.ArrowInvalid):
        table = _read_paraphrases(source)
    with suppress(InputError, OSError), atomic_path(cached, cache=True) as temporary:  # unwritten, a cache only costs time
        feather.write_feather(table, temporary, compression="lz4", chunksize=len(table))  # in one piece: no copies
    return table


def _read_paraphrases(source: Path) -> pa.Table:
    """Reads the phrases; the first of every three lines is a probability, which the jar does not use."""
    parts, line = [], 0
    whole_lines = csv.ParseOptions(delimiter="\x01", quote_char=False, ignore_empty_lines=False)
    with csv.open_csv(source, csv.ReadOptions(column_names=["line"], block_size=BLOCK), whole_lines, AS_TEXT) as batches:
        for batch in batches:
            number = line + np.arange(len(batch))
            line += len(batch)
            phrases = pc.ascii_split_whitespace(batch["line"].filter(pa.array(number % 3 > 0)))
            starts = np.zeros(len(phrases.flatten()), dtype=bool)
            starts[phrases.offsets.to_numpy()[:-1]] = True
            parts.append(pa.table({"word": phrases.flatten().dictionary_encode(), "starts": starts}))
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()
