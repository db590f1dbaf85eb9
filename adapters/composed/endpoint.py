"""Rewrites captions by any OpenAI-compatible server (vLLM, Ollama, llama.cpp, hosted): with retries, a cache, resumable."""

import concurrent.futures
import email.utils
import hashlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from e2.adapters.composed.answers import read_caption
from e2.adapters.composed.chat_protocol import (
    SCHEMA,
    NoAnswer,
    chat_address,
    complaint,
    read_text,
    refused_parameter,
    request_form,
    shown_address,
)
from e2.adapters.composed.reasoning import NoCaption
from e2.adapters.composed.rewriting import Rewriting, answered, failed, rewrite_messages
from e2.config import Count, Natural, Positive, Weight, setting, settings
from e2.errors import InputError
from e2.progress import with_progress

LONGEST_WAIT = 60.0  # longest wait before another try in seconds, whatever a server asks for
LONGEST_RESPONSE = 1 << 20  # bytes


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
            raise InputError(f"endpoint {self.url!r} is no web address; give e.g. http://localhost:11434/v1")
        if "@" in urllib.parse.urlsplit(self.url).netloc:
            raise InputError("an endpoint's address must not hold a password; put the key into an environment variable")
        if not self.model:
            raise InputError(f"rewriter {shown_address(self.url)}: it needs model=NAME, the name of a model on it")


class Endpoint:
    """Rewrites captions by a server.

    Args:
        cache: file of accepted captions, which are not asked for again, so that a stopped run can continue.
    """

    def __init__(self, config: EndpointConfig, cache: str | Path | None = None):
        self.config = config
        self.cache = AnswerCache(cache)
        self._pace = Pace(config.per_minute)
        self._left_out: frozenset[str] = frozenset()  # parameters that this server refuses, once known

    @property
    def info(self) -> dict[str, Any]:
        address = {"url": shown_address(self.config.url), "model": self.config.model}
        return {"rewriter": "endpoint", **address, **self._settings}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[Rewriting]:
        """Rewrites N captions by N wishes."""
        pairs = list(zip(captions, wishes, strict=True))
        questions = {pair: json.dumps(self._body(*pair), sort_keys=True) for pair in dict.fromkeys(pairs)}
        reasons = self._ask_all({pair: text for pair, text in questions.items() if text not in self.cache})
        return [
            failed(*pair, reasons[pair]) if pair in reasons else answered(pair[0], self.cache[questions[pair]])
            for pair in pairs
        ]

    @property
    def _settings(self) -> dict[str, Any]:
        """Settings of the model, in the protocol's terms."""
        effort = {} if self.config.reasoning_effort is None else {"reasoning_effort": self.config.reasoning_effort}
        return {"temperature": self.config.temperature, "max_tokens": self.config.max_tokens, **effort}

    def _body(self, caption: str, wish: str) -> dict[str, Any]:
        return {"model": self.config.model, "messages": rewrite_messages(caption, wish), **self._settings}

    def _ask_all(self, questions: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """Fills the cache; returns the reasons for captions and wishes without an answer."""
        reasons: dict[tuple[str, str], str] = {}
        with concurrent.futures.ThreadPoolExecutor(self.config.parallel) as pool:
            running = {pool.submit(self._ask, *pair): pair for pair in questions}
            for future in with_progress(concurrent.futures.as_completed(running), "Rewriting", len(questions), True):
                pair = running[future]
                try:
                    self.cache[questions[pair]] = future.result()
                except NoAnswer as error:
                    if self.config.on_failure == "error":
                        pool.shutdown(wait=False, cancel_futures=True)
                        self._pace.stop()
                        raise InputError(
                            f"{shown_address(self.config.url)}: {error}; check the server, then run again to continue, or set "
                            "on_failure=skip"
                        ) from error
                    reasons[pair] = error.reason
        return reasons

    def _ask(self, caption: str, wish: str) -> str:
        """Asks one question, with retries."""
        for attempt in range(self.config.tries):
            self._pace.wait()
            try:
                return self._caption(caption, wish)
            except NoAnswer as error:
                if error.final or attempt == self.config.tries - 1:
                    raise
                self._pace.pause(min(LONGEST_WAIT, error.retry_after or self.config.wait * 2**attempt))
        raise AssertionError("unreachable: the last try returns or raises")

    def _caption(self, caption: str, wish: str) -> str:
        """Tries once, with fewer parameters if the server refuses some."""
        body = self._body(caption, wish) | {"response_format": SCHEMA}
        chosen = {"temperature"} if self.config.temperature else set()
        while True:
            form = request_form(body, self._left_out)
            try:
                text = self._answer(form)
                break
            except Refused as error:
                name = refused_parameter(str(error), form, chosen)
                if name is None:
                    raise
                self._left_out |= {name}
        try:
            return read_caption(text, caption, wish)
        except NoCaption as error:
            raise NoAnswer(str(error), final=not self.config.temperature) from error

    def _answer(self, form: dict[str, Any]) -> str:
        """Sends one request and returns the text."""
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(chat_address(self.config.url), json.dumps(form).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.config.timeout) as response:
                return read_text(response.read(LONGEST_RESPONSE), self.config.key_variable)
        except urllib.error.HTTPError as error:
            raise self._http_error(error) from error
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self.config.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(getattr(error, "reason", None) or error or type(error).__name__)) from error

    def _http_error(self, error: urllib.error.HTTPError) -> NoAnswer:
        """Describes a status other than 200, with the server's own words."""
        said = complaint(error.read(LONGEST_RESPONSE), self.config.key_variable) or str(error.reason)
        message = f"HTTP {error.code}: {said}"
        if error.code in (401, 403):
            variable = f"the key is read from the environment variable {self.config.key_variable}"
            return NoAnswer(f"{message} ({variable})", final=True)
        if error.code in (400, 422):
            return Refused(message, final=True)
        later = error.code == 429 or error.code >= 500
        return NoAnswer(message, _retry_after(error.headers), final=not later)


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

    def wait(self) -> None:
        with self._lock:
            start = max(time.monotonic(), self._next)
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
        self._path = Path(path) if path else None
        if self._path and self._path.exists():
            self._read(self._path)

    def __contains__(self, question: str) -> bool:
        return _digest(question) in self._answers

    def __getitem__(self, question: str) -> str:
        return self._answers[_digest(question)]

    def __setitem__(self, question: str, answer: str) -> None:
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
