"""OpenAI's chat protocol, the little of it that rewriting needs: requests, the text of a response, a server's complaint."""

import json
import os
import re
import urllib.parse
from collections.abc import Collection
from typing import Any

from e2.errors import printable

LONGEST_COMPLAINT = 200  # characters
_KEYS = re.compile(r"\b(?:sk|pk|rk|hf|gsk|api|key|xai|AIza)[-_][\w*.-]{6,}|\b(?:Bearer|Basic)\s+[\w.+/=*-]{6,}", re.IGNORECASE)
SCHEMA = {  # structured output: the server holds the model to one caption
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


class NoAnswer(Exception):
    """A try that failed; ``final`` where another cannot help."""

    def __init__(self, reason: str, retry_after: float | None = None, *, final: bool = False):
        super().__init__(reason)
        self.reason, self.retry_after, self.final = reason, retry_after, final


def chat_address(url: str) -> str:
    """Where chats are asked for, a query of the address kept."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(path=f"{parts.path.rstrip('/')}/chat/completions").geturl()


def shown_address(url: str) -> str:
    """The address for messages and records, without a query, which may hold a key."""
    return urllib.parse.urlsplit(url)._replace(query="", fragment="").geturl()


def read_text(content: bytes, key_variable: str = "") -> str:
    """The text of a response.

    Args:
        content: its body.
        key_variable: environment variable whose value is never repeated.

    Raises:
        NoAnswer: no response of this protocol, one that was cut off, or one without a text; says why.
    """
    choice = _choice(_decoded(content), key_variable)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NoAnswer("it answers like no OpenAI-compatible server: a choice without a message")
    if choice.get("finish_reason") == "content_filter" or message.get("refusal"):
        raise NoAnswer("the server withheld the answer (refusal or content filter)", final=True)
    text = _text(message.get("content"))
    if not text.strip() and (message.get("reasoning_content") or message.get("reasoning")):
        raise NoAnswer("the model spent its answer on reasoning; raise max_tokens, or set reasoning_effort=low", final=True)
    if choice.get("finish_reason") == "length":
        raise NoAnswer("the answer was cut off at max_tokens; raise it, or set reasoning_effort=low", final=True)
    if not text.strip():
        raise NoAnswer("it answers with an empty text")
    return text


def complaint(content: bytes, key_variable: str = "") -> str:
    """What a server says is wrong, in one bounded line without keys; empty where it says nothing readable."""
    try:
        value = json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        text = content.decode("utf-8", "replace").strip()
        value = "" if text.startswith("<") else text  # a proxy's page
    line = " ".join(printable(_said(value)).split())
    if secret := os.environ.get(key_variable or "", ""):
        line = line.replace(secret, "***")
    line = _KEYS.sub("***", line)
    return line if len(line) <= LONGEST_COMPLAINT else f"{line[:LONGEST_COMPLAINT]}..."


def request_form(body: dict[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    """The request as a server takes it that refuses some of its parameters."""
    form = {key: value for key, value in body.items() if key not in left_out}
    return form | ({"max_completion_tokens": body["max_tokens"]} if "max_tokens" in left_out else {})


def refused_parameter(said: str, form: dict[str, Any], chosen: Collection[str]) -> str | None:
    """Which of our own defaults to leave out after a server refused a request (HTTP 400, 422); None: none is left.

    Args:
        said: the server's complaint.
        form: the request.
        chosen: parameters that the user set, which are never left out.
    """
    if "max_completion_tokens" in said and "max_tokens" in form:
        return "max_tokens"
    if "temperature" in said and "temperature" in form and "temperature" not in chosen:
        return "temperature"
    return "response_format" if "response_format" in form else None  # older servers do not say what they dislike


def _decoded(content: bytes) -> dict[str, Any]:
    text = content.decode("utf-8-sig", "replace").strip()
    if text.startswith("data:"):
        raise NoAnswer("it answers as a stream (data: ...) that was not asked for; switch streaming off there", final=True)
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
    if answer.get("error"):
        raise NoAnswer(f"the server says: {complaint(json.dumps(answer).encode(), key_variable)}")
    if "message" in answer and "done" in answer:
        raise NoAnswer("it answers in Ollama's own form; give the address that ends in /v1", final=True)
    if choices == []:
        raise NoAnswer("it answers with an empty list of choices")
    raise NoAnswer("it does not answer like an OpenAI-compatible server: there are no choices")


def _text(content: Any) -> str:
    """Plain content, or the texts among its parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type") in ("text", "output_text")]
        return "".join(part["text"] for part in parts if isinstance(part.get("text"), str))
    return ""


def _said(value: Any) -> str:
    """The sentence in an error body, whichever of the usual fields holds it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_said, value[:3])))
    if isinstance(value, dict):
        return next(filter(None, (_said(value[key]) for key in ("error", "message", "detail", "msg") if key in value)), "")
    return ""
