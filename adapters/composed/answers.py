"""Extracts the caption from a language model's answer, without reasoning, chatter, labels and markup, or refuses it.

Whatever is taken here becomes a query, so an answer is accepted only if the rest looks like a product caption.
"""

import html
import json
import re
import unicodedata
from typing import Any

import yaml

from e2.adapters.composed.reasoning import NoCaption, without_reasoning
from e2.adapters.composed.rewriting import INSTRUCTION
from e2.errors import printable
from e2.json_once import RepeatedKey, object_once

LONGEST_CAPTION = 400  # characters; more is chatter
LONGEST_OBJECT = 1_000  # characters read as an object that is not quite JSON

_WRAPPED = re.compile(
    r"<((?:\w+[_-])?(?:answer|caption|output|response|result|final|tool_?call))>(.*?)</\1>", re.IGNORECASE | re.DOTALL
)
_SEEN_ONLY = re.compile(r"\x1b\[[\d;]*[A-Za-z]|<!\[CDATA\[|\]\]>")  # colours of terminals, frames of XML
_BOXED = re.compile(r"\$*\\boxed\{(?:\\text\{)?([^{}]*)\}+\$*")
_ARROW = re.compile(r"\s*(?:[-=]+>|[→⇒]|\bbecomes\b)\s*")
_PICTURES = re.compile(r"^[\u2600-\u2bff\U0001f000-\U0001faff\ufe0f\s]+|[\u2600-\u2bff\U0001f000-\U0001faff\ufe0f\s]+$")
_OBJECT = re.compile(r"""\"?[{\[]\s*(?:\\?["'{\[]|\w+\s*:)""")
_HOLDERS = ("arguments", "parameters", "properties")  # of the call of a tool, and of a schema filled in
_FENCE = re.compile(r"(```|~~~)[\w-]*[ \t]*\n?(.*?)(?:\1|$)", re.DOTALL)
_LIST_MARK = re.compile(r"^(?:[-*+•–—→>#]+|\(?\d{1,2}[.):]|\(?[a-c][.)])\s+")
_MARKS = " \t\"'`*_“”‘’«»„‹›「」『』"
_IN_QUOTES = re.compile(r"^[\"“]([^\"“”]+)[\"”]\s*\.$")
_LABEL = re.compile(
    r"^(?P<label>[^\W\d_](?:[^\W\d_]|[ !,.'’，。！]){0,60}?)\s*\d?[*_]*(?:\s*[:：=]|\s[-–—]\s)\s*[*_]*\s*(?P<text>.*)$"
)
_THING = re.compile(
    r"\b(?:caption|description|answer|output|result|response|rewrite|version|title|option|product|candidate|assistant|ai|"
    r"légende|bildunterschrift|beschreibung|titel|descripción|título|didascalia|descrizione|legenda|descrição|onderschrift)\b|"
    r"标题|描述|说明|キャプション"
)
_RESULT = re.compile(
    r"\b(?:new|edited|updated|revised|rewritten|modified|wanted|final|target|answer|output|result|"
    r"nueva|nuevo|nouvelle|neue|nuova|nova)\b"
)
_NAMED_RESULT = re.compile(rf"(?:{_RESULT.pattern})(?: \w+)? (?:{_THING.pattern})")
_HEADING = re.compile(rf"(?:(?:the|your|here|{_RESULT.pattern}|{_THING.pattern})\s*)+[a-d0-9]?", re.IGNORECASE)
_OTHER = re.compile(
    r"\b(?:wish(?:es)?|original|old|input|reference|given|explanation|reason(?:ing)?|notes?|changes?|edits?|step|thinking|"
    r"analysis|thought|process|user|shopper|system)\b"
)
_INTRO = re.compile(
    r"^(?:sure|certainly|of course|absolutely|okay|ok|great|here(?: is|'s|’s| are| you (?:go|are))|yes|below is|"
    r"this is (?:the|a|your)|based on|try this|voici|hier ist|aquí (?:está|tienes)|ecco|aqui está|hier is|"
    r"the (?:new|edited|updated|revised|final|rewritten)? ?(?:caption|description|answer) (?:is|would be|could be))\b",
    re.IGNORECASE,
)
_INTERJECTION = re.compile(
    r"^(?:sure(?: thing)?|certainly|of course|okay|ok|absolutely|great|yes|here you (?:go|are)|got it|no problem|alright|"
    r"understood|noted|done)[,!.:]\s+(?=\w)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“]([^\"“”]{3,})(?:[\"”]|$)")
_REMARK = re.compile(
    r"\s*\((?:note|changed|was|originally|instead|updated|edited|replaced)\b[^()]*\)\.?$|"
    r"\s+[—–-]\s+[^—–]*\b(?:replaced|changed|removed|added|updated)\b[^—–]*$",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?(?:b|i|u|em|strong|p|br|span)\s*/?>", re.IGNORECASE)
_REFUSAL = re.compile(
    r"^(?:i['’]?m (?:sorry|afraid|unable|not able)|sorry\b|(?:my )?apologies|i apologi[sz]e|unfortunately|unable to\b|"
    r"no (?:image|photo|picture|caption|wish|input) (?:was|were|is|has|provided|given|found|available)\b|"
    r"without (?:seeing|an? image|the image|a photo)\b|this (?:content|request)\b|i['’]?m not comfortable\b|"
    r"as an? (?:ai|(?:large )?language model|text-based)\b|it (?:is|['’]s) not possible|your request\b|"
    r"je suis désolé|désolé|es tut mir leid|tut mir leid|lo siento|mi dispiace|desculpe|"
    r"i (?:can['’]?t|cannot|can not|am (?:sorry|unable|not able)|won['’]?t|do(?: not|n['’]t))|"
    r"(?:很|非常)?抱歉|对不起|對不起|我?(?:无法|無法|不能)|申し訳|すみません|죄송|"
    r"извините|к сожалению|przepraszam|üzgünüm|helaas|tyvärr)",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"\b(?:the (?:user|shopper|wish|photo's caption)|let me|"
    r"the caption (?:is|says|should|describes|mentions|already|remains|stays|does)|"
    r"no (?:changes?|edits?|modifications?) (?:(?:is|are|was|were) )?(?:needed|required|necessary|made)|"
    r"i (?:can['’]?t|cannot)|let['’]s|i (?:will|would|need|should|have|think|must)|"
    r"i (?:changed|replaced|kept|removed|added|updated|edited)|"
    r"i['’](?:ll|ve|d|m)|we (?:need|should|have|must|can)|you (?:want|asked|provided|need)|as requested|hope this|please)\b|"
    r"^(?:hmm+|wait|okay|alright|well),|^(?:changed|replaced|removed|added|swapped|kept|updated)\b|"
    r"^(?:change|replace|swap)\b.* (?:to|with|by|for)\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"(?:[a-z]|n/?a|none|null|nil|undefined|nan|todo|unknown|empty|error|error:.*|http \d\d\d.*|ok(?:ay)?|yes|no|"
    r"sure|done|string|overloaded|(?:internal )?server error.*|rate limit.*|too many requests.*|service unavailable.*|"
    r"bad gateway.*|(?:request |gateway )?time(?:d |-)?out.*)[.!]?",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(r"(?<![-\w])(?:an?|the|and|or|but|with|without|of|from)$|,$", re.IGNORECASE)
_MARKUP = re.compile(r"[{}\[\]<>|\\`\ufffd]|https?://|\*\*|__|~~|\w\(['\"]")
_AGAIN = re.compile(r"\b(\w.{0,60}?)(?:\W+\1\b){4}", re.IGNORECASE)  # red red red red red
_QUOTES = re.compile(r"(?<!\w)(?:'.*?'|\".*?\"|“.*?”|‘.*?’)(?!\w)")
_KEYS = ("new_caption", "edited_caption", "rewritten_caption", "caption", "description", "answer", "result", "output", "text")


def read_caption(answer: str, caption: str = "", wish: str = "", *, cut: bool = False) -> str:
    """Extracts the caption from an answer.

    Args:
        caption, wish: the question; an echo of the prompt is not an answer.
        cut: the model was stopped within the last line, which is ignored.

    Raises:
        NoCaption: there is none, or nothing that looks like one; the message says why.

    Example:
        >>> read_caption('<think>They want red.</think> Sure! Here it is:\\n**Caption:** "A red coat"')
        'A red coat'
    """
    text = without_reasoning(_clean(answer))
    while wrapped := _WRAPPED.search(text):
        text = wrapped[2]
    boxed = _BOXED.search(text)
    text = boxed[1] if boxed else text
    fence = _FENCE.search(text)
    text = (fence[2] if fence and fence[2].strip() else text).strip()
    found = _structured(text)
    if found is None:
        lines = _rows(text.split("\n"))
        found = _best_line(lines[:-1] if cut else lines, caption, wish)
    return _plausible(found, wish)


def _clean(answer: str) -> str:
    """Removes surrogates, control codes and frames."""
    text = unicodedata.normalize("NFC", _SEEN_ONLY.sub("", answer).encode("utf-8", "ignore").decode())
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    unseen = ("Cc", "Cf", "Co", "Cn")
    return "".join(letter for letter in text if letter in "\n\t" or unicodedata.category(letter) not in unseen)


def _structured(text: str) -> str | None:
    """Caption of a JSON answer, bare or after a line of chatter; None if the answer is not JSON."""
    start = _OBJECT.search(text)
    if start is None or (start.start() and text[: start.start()].rstrip()[-1:] not in ":!."):
        return None
    body = text[start.start() :].strip()
    try:
        value, _ = json.JSONDecoder(strict=False, object_pairs_hook=object_once).raw_decode(body)
    except RepeatedKey as error:
        raise NoCaption(f"the answer names {printable(str(error))!r} twice") from None
    except (ValueError, RecursionError):
        try:
            value = yaml.safe_load(body[:LONGEST_OBJECT])  # single quotes, or none, and commas before the end
        except (ValueError, yaml.YAMLError, RecursionError):
            raise NoCaption("the answer is broken JSON") from None
    caption = _value(value)
    if caption is None:
        raise NoCaption("the answer is JSON without a caption")
    return _structured(caption) or caption  # JSON in JSON


def _value(value: Any) -> str | None:
    """First text that a JSON value offers as the caption."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _value(value[0]) if value else None
    if isinstance(value, dict):
        named = {str(key).lower().replace(" ", "_"): item for key, item in value.items()}
        words = {key: key.replace("_", " ") for key in named}
        results = [key for key in named if _RESULT.search(words[key]) and not _OTHER.search(words[key])]
        key = next((key for key in (*_KEYS, *results) if key in named), None)
        holder = next((key for key in _HOLDERS if key in named), None)
        if key is None and holder is not None:
            held = named[holder]
            held = _decoded(held) if isinstance(held, str) else held
            return _value(held) if isinstance(held, dict) and set(_KEYS) & set(held) else None
        if key is None and len(named) == 1 and not {"error", "detail", "message"} & set(named):
            (key,) = named
        return None if key is None else _value(named[key])
    return None


def _decoded(text: str) -> Any:
    """Value of a text that may be JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _rows(lines: list[str]) -> list[str]:
    """Turns the rows of a Markdown table into labelled lines: ``New caption: a red coat``."""
    tables = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.strip().startswith("|")]
    if len(tables) < 3:
        return lines
    head, *rows = [cells for cells in tables if any(re.search(r"\w", cell) for cell in cells)]
    named = any(_RESULT.search(cell.lower()) or _THING.search(cell.lower()) for cell in head)
    pairs = [zip(head, row, strict=False) if named else [(row[0], row[-1])] for row in rows]
    return [f"{name}: {cell}" for row in pairs for name, cell in row]


def _best_line(lines: list[str], caption: str, wish: str) -> str:
    """Chooses the line labelled as the result, or else the first that is neither chatter nor an echo."""
    plain, lines = [], [text for line in lines if (text := _unmarked(line))]
    for line in lines:
        label, text = _label(_INTERJECTION.sub("", line))
        if text and (_NAMED_RESULT.search(label) or (_RESULT.search(label) and not _OTHER.search(label))):
            return text
        old, *new = _ARROW.split(text, maxsplit=1)
        text = _unmarked(new[0]) if new and _same(old) == _same(caption) else text
        if re.search(r"\w", text) and not (label and _OTHER.search(label)) and not _is_intro(text):
            plain.append(text)
    fresh = [text for text in plain if _same(text) not in (_same(caption), _same(wish))]
    return next(
        iter(fresh or (plain if len(lines) == 1 else [])), ""
    )  # an echo of the caption alone means that nothing changes


def _label(line: str) -> tuple[str, str]:
    """Splits ``Edited caption: a red coat`` into label and rest; the label is empty if the colon is part of a caption."""
    if _INTRO.match(line) and (quoted := _QUOTED.search(line)):
        return "answer", quoted[1]
    match = _LABEL.match(line)
    if match is None:
        return "", line
    label = match["label"].lower()
    if _INTRO.match(line) or _THING.search(label) or _OTHER.search(label) or _RESULT.fullmatch(label):
        return label, _unmarked(match["text"])
    return "", line


def _is_intro(text: str) -> bool:
    intro = _INTRO.match(text) or _INTERJECTION.match(f"{text} a")
    return text.endswith((":", "：")) or bool(_HEADING.fullmatch(text)) or (bool(intro) and text.endswith(("!", ".")))


def _unmarked(line: str) -> str:
    """Strips bullets, numbers, quotes and bold marks."""
    line = _PICTURES.sub("", line)
    while match := _LIST_MARK.match(line):
        line = line[match.end() :]
    text = _IN_QUOTES.sub(r"\1", line).strip(_MARKS)
    return f'{text}"' if text.count('"') % 2 and line.endswith('"') else text


def _same(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()


def _plausible(text: str, wish: str) -> str:
    """Puts the caption on one line, or refuses it."""
    text = _unmarked(_REMARK.sub("", " ".join(html.unescape(_TAG.sub("", text)).split())))
    if not re.search(r"[^\W\d_]", text):
        raise NoCaption("the answer is empty")
    for problem, found in (
        ("the model refused", _REFUSAL.match(text)),
        ("the answer says nothing", _NOTHING.fullmatch(text)),
        ("the answer is longer than a caption", len(text) > LONGEST_CAPTION),
        ("the answer repeats itself", _AGAIN.search(text[: LONGEST_CAPTION + 1])),
        ("the answer breaks off", _UNFINISHED.search(text)),
        ("the answer repeats the wish", _same(text) == _same(wish)),
        ("the answer repeats the prompt", f" {_same(text)} " in f" {_same(INSTRUCTION)} "),
        (
            "the answer is chatter, not a caption",
            _CHATTER.search(_QUOTES.sub("", text)) or _is_intro(text) or text.endswith("?"),
        ),
        ("the answer is not plain text", _MARKUP.search(text)),
    ):
        if found:
            raise NoCaption(problem)
    return text
