"""The parts of OpenAI's chat protocol that rewriting needs: requests, response texts and server errors."""

import json
import os
import re
import urllib.parse
import zlib
from collections.abc import Collection
from typing import Any

from e2.errors import printable

LONGEST_COMPLAINT = 200  # characters
# what servers call the end of an answer: cut off, withheld, or broken off; by any other name it may be whole
_CUT = re.compile(r"length|max_|token.?limit|context|incomplete|truncat")
_WITHHELD = re.compile(r"filter|safety|refus|recitation|prohibited|block|sensitive|guard|moderat|spii|toxic|language")
_BROKEN = re.compile(r"abort|cancel|error|fail|insufficient|interrupt|limit|malformed|overload|time|unavailable|unexpected")
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")
_SAID = ("error", "message", "detail", "msg", "error_msg", "errors", "base_resp", "status_msg")  # keys of servers' messages
_STREAM = re.compile(r"(?:data|event|id|retry):")
_KEYS = re.compile(r"\b(?:sk|pk|rk|hf|gsk|api|key|xai|AIza)[-_][\w*.-]{6,}|\b(?:Bearer|Basic)\s+[\w.+/=*-]{6,}", re.IGNORECASE)
SCHEMA = {  # structured output: the server limits the model to one caption
    "type": "json_schema",
    "json_schema": {
        "name": "caption",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"caption": {"type": "string"}},
            "required": ["caption"],
            "additionalProperties": False,
        },
    },
}


STREAMS = "it answers as a stream (data: ...) that was not asked for; switch streaming off there"


class NoAnswer(Exception):
    """A failed try; ``final`` if further ones cannot help."""

    def __init__(self, reason: str, retry_after: float | None = None, *, final: bool = False):
        super().__init__(reason)
        self.reason, self.retry_after, self.final = reason, retry_after, final


def chat_address(url: str) -> str:
    """Address for chats, keeping a query of the given one."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions").geturl()


def shown_address(url: str) -> str:
    """Address for messages and records, without a query, which may hold a key."""
    return urllib.parse.urlsplit(url)._replace(query="", fragment="").geturl()


def read_text(content: bytes, key_variable: str = "") -> str:
    """Extracts the text of a response.

    Args:
        key_variable: environment variable whose value must not appear in messages.

    Raises:
        NoAnswer: an invalid, truncated or empty response; the message says why.
    """
    choice = _choice(_decoded(content), key_variable)
    if choice.get("error"):
        raise NoAnswer(f"the server says: {complaint(json.dumps(choice).encode(), key_variable)}")
    message = choice.get("message")
    if not isinstance(message, dict) and isinstance(choice.get("delta"), dict):
        raise NoAnswer(STREAMS, final=True)
    if not isinstance(message, dict):
        raise NoAnswer("it answers like no OpenAI-compatible server: a choice without a message")
    finish = str(choice.get("finish_reason")).lower()
    ends = (
        " ".join(str(choice.get(key)).lower() for key in ("stop_reason", "native_finish_reason", "done_reason")) + f" {finish}"
    )
    if _WITHHELD.search(ends) or message.get("refusal"):
        raise NoAnswer("the server withheld the answer (refusal or content filter)", final=True)
    text = _text(message.get("content"))
    if not text.strip() and any(message.get(key) for key in _REASONING):
        raise NoAnswer("the model spent its answer on reasoning; raise max_tokens, or set reasoning_effort=low", final=True)
    if _CUT.search(ends):
        raise NoAnswer("the answer was cut off at max_tokens; raise it, or set reasoning_effort=low", final=True)
    if _BROKEN.search(finish):
        raise NoAnswer(f"the server ended the answer early: {printable(finish[:60])!r}")
    if not text.strip() and (message.get("tool_calls") or message.get("function_call")):
        raise NoAnswer(
            "it answers with a call of a tool, which was not asked for; choose another model, or its plain mode", final=True
        )
    if not text.strip():
        raise NoAnswer("it answers with an empty text")
    return text


def complaint(content: bytes, key_variable: str = "") -> str:
    """Server's error message in one bounded line without keys; empty if unreadable."""
    text = content.decode(json.detect_encoding(content), "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = "" if text.startswith("<") else text  # a proxy's page
    line = " ".join(printable(_said(value)).split())
    if secret := os.environ.get(key_variable or "", ""):
        line = line.replace(secret, "***")
    line = _KEYS.sub("***", line)
    return line if len(line) <= LONGEST_COMPLAINT else f"{line[:LONGEST_COMPLAINT]}..."


def unpacked(content: bytes, encoding: str, longest: int) -> bytes:
    """Unpacks what a server or a proxy compressed without being asked.

    Raises:
        NoAnswer: packed in another way, or damaged.
    """
    packing = encoding.strip().lower()
    if packing not in ("gzip", "x-gzip", "deflate") and not content.startswith(b"\x1f\x8b"):
        if packing in ("", "identity"):
            return content
        raise NoAnswer(f"it answers compressed as {printable(packing[:20])!r}, which was not asked for", final=True)
    try:
        packed = zlib.decompressobj(zlib.MAX_WBITS + 32)  # gzip and zlib alike
        whole = packed.decompress(content, longest)
    except zlib.error as error:
        raise NoAnswer(f"its compressed answer is damaged: {error}") from error
    if not packed.eof:
        raise NoAnswer("its compressed answer is cut off, or far too long")
    return whole


def names_structure(said: str) -> bool:
    """True if a server's message is about the structured output asked for; some say so with HTTP 500."""
    return re.search(r"response_?format|json_?schema|grammar|structured output|guided", said, re.IGNORECASE) is not None


def request_form(body: dict[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """Builds the request without the parameters that a server refuses."""
    form = {key: value for key, value in body.items() if key not in left_out}
    return form | ({"max_completion_tokens": body["max_tokens"]} if "max_tokens" in left_out else {})


def refused_parameter(said: str, form: dict[str, Any], chosen: Collection[str]) -> str | None:
    """Chooses a default of ours to drop after a server refused a request (HTTP 400, 422); None if none is left.

    Args:
        chosen: parameters that the user set, which are never left out.
    """
    if "max_completion_tokens" in said and "max_tokens" in form:
        return "max_tokens"
    if "temperature" in said and "temperature" in form and "temperature" not in chosen:
        return "temperature"
    return "response_format" if "response_format" in form else None  # older servers do not say which they refuse


def _decoded(content: bytes) -> dict[str, Any]:
    text = content.decode(json.detect_encoding(content), "replace").strip()
    text = re.sub(r"^(?::[^\n]*\n\s*)+", "", text)  # comments that keep a connection open
    if _STREAM.match(text):
        raise NoAnswer(STREAMS, final=True)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = printable(text[:60])
        if "\n{" in text:
            reason = f"it answers with several JSON lines, a stream that was not asked for: {shown!r}"
            raise NoAnswer(reason, final=True) from error
        raise NoAnswer(f"it does not answer like an OpenAI-compatible server: {shown!r}") from error
    if not isinstance(value, dict):
        raise NoAnswer(f"it does not answer like an OpenAI-compatible server: {printable(text[:60])!r}")
    return value


def _choice(answer: dict[str, Any], key_variable: str) -> dict[str, Any]:
    choices = answer.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    if "message" in answer and "done" in answer:
        raise NoAnswer("it answers in Ollama's own form; give the address that ends in /v1", final=True)
    if said := complaint(json.dumps(answer).encode(), key_variable):
        raise NoAnswer(f"the server says: {said}")
    if choices == []:
        raise NoAnswer("it answers with an empty list of choices")
    raise NoAnswer("it does not answer like an OpenAI-compatible server: there are no choices")


def _text(content: Any) -> str:
    """Plain content, the texts among its parts, or the structure asked for, which some servers decode."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
        parts = [part for part in parts if isinstance(part, dict) and part.get("type") in ("text", "output_text")]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return json.dumps(content) if isinstance(content, dict) else ""


def _said(value: Any) -> str:
    """Message in an error body, whichever of the usual fields holds it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_said, value[:3])))
    if isinstance(value, dict):
        return next(filter(None, (_said(value[key]) for key in _SAID if key in value)), "")
    return ""
