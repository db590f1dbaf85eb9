"""Client of OpenAI-compatible servers (vLLM, Ollama, llama.cpp, hosted): retries, a pace, and a cache of accepted answers."""

import contextlib
import email.utils
import hashlib
import http.client
import json
import math
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, Literal

from pydantic import Field

from e2.adapters.composed.chat_protocol import (
    NoAnswer,
    chat_address,
    complaint,
    names_structure,
    read_text,
    refused_parameter,
    request_form,
    shown_address,
    unpacked,
)
from e2.adapters.composed.reasoning import NoCaption
from e2.errors import InputError, printable
from e2.settings import Count, Natural, Positive, Weight, setting, settings

LONGEST_WAIT = 60.0  # longest wait before another try in seconds, whatever a server asks for
LONGEST_RESPONSE = 1 << 20  # bytes
LATE = "no answer in time"
Messages = Sequence[dict[str, Any]]


@settings
class EndpointConfig:
    """Settings of an endpoint."""

    url: str = setting(..., "of the API, e.g. http://localhost:11434/v1")
    model: str = setting("", "name on that server")
    key_variable: str = setting("OPENAI_API_KEY", "environment variable that holds the key, if one is needed")
    timeout: Positive = setting(60.0, "seconds for an answer")
    tries: Count = setting(5, "per request")
    wait: Weight = setting(1.0, "seconds before the second try, doubled each time; a server's Retry-After wins")
    per_minute: Natural = setting(0, "most requests to start; 0 = no limit")
    parallel: Count = setting(4, "requests at a time")
    on_failure: Literal["error", "skip"] = setting("error", "skip: caption and wish side by side, counted as failed")
    max_tokens: Count = setting(1024, "of an answer, including reasoning")
    temperature: Annotated[float, Field(ge=0, le=2)] = setting(0.0, "0 = the likeliest answer")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = setting(
        None, "of models that reason; null = the server's default"
    )

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"endpoint {self.url!r} is not a web address; give e.g. http://localhost:11434/v1")
        if "@" in urllib.parse.urlsplit(self.url).netloc:
            raise InputError("an endpoint's address must not hold a password; put the key into an environment variable")
        if not self.model:
            raise InputError(f"rewriter {shown_address(self.url)}: it needs model=NAME, the name of a model on it")


class ChatClient:
    """Asks a server; safe for many threads.

    Args:
        config: of the server.
        schema: form of the answers, left out where the server knows no structured output.
        cache: file of accepted answers, which are not asked for again, so that a stopped run can continue.
    """

    def __init__(self, config: EndpointConfig, schema: dict[str, Any], cache: str | Path | None = None):
        self.config, self.schema = config, schema
        self.cache = AnswerCache(cache)
        self._pace = Pace(config.per_minute)
        self._left_out: frozenset[str] = frozenset()  # parameters that this server refuses, once known

    @property
    def info(self) -> dict[str, Any]:
        return {"url": shown_address(self.config.url), "model": self.config.model, **self._settings}

    def ask(self, messages: Messages, read: Callable[[str], str], deadline: float = math.inf) -> str:
        """Returns the cached answer, or asks, with retries, and caches what was accepted.

        Args:
            messages: the chat.
            read: takes the answer out of the server's text, or raises `NoCaption`.
            deadline: `time.monotonic` after which nothing is waited for.

        Raises:
            NoAnswer: there is none; says why.
        """
        question = json.dumps({"model": self.config.model, "messages": messages, **self._settings}, sort_keys=True)
        if question not in self.cache:
            self.cache[question] = self._tried(json.loads(question), read, deadline)
        return self.cache[question]

    def stop(self) -> None:
        """Makes waiting threads give up."""
        self._pace.stop()

    @property
    def _settings(self) -> dict[str, Any]:
        """Settings of the model, in the protocol's terms."""
        effort = {} if self.config.reasoning_effort is None else {"reasoning_effort": self.config.reasoning_effort}
        return {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens, **effort}

    def _tried(self, body: dict[str, Any], read: Callable[[str], str], deadline: float) -> str:
        """Asks one question, with retries."""
        for attempt in range(self.config.tries):
            self._pace.wait(deadline)
            try:
                return self._accepted(body, read, deadline)
            except NoAnswer as error:
                if error.final or attempt == self.config.tries - 1:
                    raise
                wait = min(LONGEST_WAIT, error.retry_after or self.config.wait * 2**attempt)
                if time.monotonic() + wait >= deadline:
                    raise
                self._pace.pause(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def _accepted(self, body: dict[str, Any], read: Callable[[str], str], deadline: float) -> str:
        """Tries once, with fewer parameters if the server refuses some."""
        body = body | {"response_format": self.schema}
        chosen = {"temperature"} if self.config.temperature else set()
        while True:
            form = request_form(body, self._left_out)
            try:
                text = self._answer(form, deadline)
                break
            except Refused as error:
                name = refused_parameter(str(error), form, chosen)
                if name is None:
                    raise
                self._left_out |= {name}
        try:
            return read(text)
        except NoCaption as error:
            raise NoAnswer(str(error), final=not self.config.temperature) from error

    def _answer(self, form: dict[str, Any], deadline: float) -> str:
        """Sends one request and returns the text."""
        seconds = min(self.config.timeout, deadline - time.monotonic())
        if seconds <= 0:
            raise NoAnswer(LATE, final=True)
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(chat_address(self.config.url), json.dumps(form).encode(), headers)
        try:
            with _opener.open(request, timeout=seconds) as response:
                return read_text(_read(response, time.monotonic() + seconds), self.config.key_variable)
        except urllib.error.HTTPError as error:
            raise self._http_error(error, time.monotonic() + seconds) from error
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self.config.timeout:g} s" if time.monotonic() < deadline else LATE) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            raise NoAnswer(printable(reason.strip())) from error

    def _http_error(self, error: urllib.error.HTTPError, deadline: float) -> NoAnswer:
        """Describes a status other than 200, with the server's own words if they come in time and whole."""
        content = b""
        with contextlib.suppress(OSError, http.client.HTTPException, NoAnswer):
            content = _read(error, deadline)
        said = complaint(content, self.config.key_variable) or printable(str(error.reason))
        message = f"HTTP {error.code}: {said}"
        if error.code in (401, 403):
            variable = f"the key is read from the environment variable {self.config.key_variable}"
            return NoAnswer(f"{message} ({variable})", final=True)
        if error.code in (400, 422) or names_structure(said):
            return Refused(message, final=True)
        if place := error.headers.get("Location"):
            return NoAnswer(f"{message}: it moves requests to {printable(place)}; give the address that answers", final=True)
        later = error.code == 429 or error.code >= 500
        return NoAnswer(message, _retry_after(error.headers), final=not later)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would lose the question, and hand the key to another server."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


_opener = urllib.request.build_opener(_NoRedirects)


def _read(response: Any, deadline: float) -> bytes:
    """Reads a response, however slowly it comes, until a time of `time.monotonic`, and unpacks it."""
    content = b""
    while (more := response.read1(LONGEST_RESPONSE)) and len(content) < LONGEST_RESPONSE:
        content += more
        if time.monotonic() > deadline:
            raise TimeoutError
    return unpacked(content[:LONGEST_RESPONSE], response.headers.get("Content-Encoding", ""), LONGEST_RESPONSE)


class Refused(NoAnswer):
    """The server refuses the request as it is."""


def _retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait, given as a number or a date."""
    value = (headers or {}).get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


class Pace:
    """Limits the requests started per minute, over all threads; can be stopped from outside."""

    def __init__(self, per_minute: int):
        self._gap = 60 / per_minute if per_minute else 0.0
        self._lock, self._next, self._stopped = threading.Lock(), 0.0, threading.Event()

    def wait(self, deadline: float = math.inf) -> None:
        with self._lock:
            start = max(time.monotonic(), self._next)
            if start >= deadline:
                raise NoAnswer(LATE, final=True)
            self._next = start + self._gap
        self.pause(start - time.monotonic())

    def pause(self, seconds: float) -> None:
        if self._stopped.wait(max(0.0, seconds)):
            raise NoAnswer("stopped", final=True)

    def stop(self) -> None:
        self._stopped.set()


class AnswerCache:
    """Answers in memory, appended to a file line by line; an incomplete line is dropped."""

    def __init__(self, path: str | Path | None):
        self._answers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._path = Path(path) if path else None
        if self._path and self._path.exists():
            self._read(self._path)

    def __contains__(self, question: str) -> bool:
        return _digest(question) in self._answers

    def __getitem__(self, question: str) -> str:
        return self._answers[_digest(question)]

    def __setitem__(self, question: str, answer: str) -> None:
        with self._lock:
            self._answers[_digest(question)] = answer
            if self._path:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with open(self._path, "a", encoding="utf-8") as file:
                    file.write(json.dumps({"question": _digest(question), "answer": answer}) + "\n")

    def __len__(self) -> int:
        return len(self._answers)

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        for line in content.splitlines():
            try:
                record = json.loads(line)
                self._answers[record["question"]] = str(record["answer"])
            except (ValueError, KeyError, TypeError):
                continue  # ask again
        if content and not content.endswith(b"\n"):  # do not append the next answer to half a line
            with open(path, "ab") as file:
                file.write(b"\n")


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()
