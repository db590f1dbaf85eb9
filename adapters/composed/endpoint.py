"""Rewriting by any OpenAI-compatible server (vLLM, Ollama, llama.cpp, a hosted one): patient, cached, resumable."""

import concurrent.futures
import email.utils
import hashlib
import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.composed.rewriting import first_line, rewrite_messages
from e2.errors import InputError
from e2.progress import with_progress

LONGEST_WAIT = 60.0  # seconds before another try, whatever a server asks for
LONGEST_RESPONSE = 1 << 20  # bytes


@dataclass(frozen=True)
class EndpointConfig:
    """How to ask.

    Attributes:
        url: of the API, e.g. ``http://localhost:11434/v1``.
        model: name on that server.
        key_variable: environment variable that holds the key, where one is needed.
        timeout: seconds for an answer.
        tries: per request.
        wait: seconds before the second try, doubled each time; a server's Retry-After wins.
        per_minute: requests started at most; 0 = no limit.
        parallel: requests at a time.
        on_failure: ``error``, or ``skip``: the wish itself is the text then, and counted.
    """

    url: str
    model: str
    key_variable: str = "OPENAI_API_KEY"
    timeout: float = 60.0
    tries: int = 5
    wait: float = 1.0
    per_minute: int = 0
    parallel: int = 4
    on_failure: str = "error"

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"endpoint {self.url!r} is no web address; give e.g. http://localhost:11434/v1")
        if not self.model:
            raise InputError("an endpoint needs the name of a model on it")
        if self.on_failure not in ("error", "skip"):
            raise InputError(f"unknown on_failure {self.on_failure!r}; choose error or skip")
        if self.tries < 1 or self.parallel < 1 or self.timeout <= 0:
            raise InputError("an endpoint needs 1 or more tries, 1 or more parallel requests and a timeout above 0")


class Endpoint:
    """Rewriter over a server.

    Args:
        config: how to ask.
        cache: file of answers; what is in it is never asked again, so a stopped run goes on where it was.

    Attributes:
        skipped: how many wishes got no answer.
    """

    def __init__(self, config: EndpointConfig, cache: str | Path | None = None):
        self.config = config
        self.cache = AnswerCache(cache)
        self.skipped = 0
        self._pace = Pace(config.per_minute)

    @property
    def info(self) -> dict[str, Any]:
        return {"rewriter": "endpoint", "url": self.config.url, "model": self.config.model, "skipped": self.skipped}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[str]:
        """N captions and N wishes -> N captions of what is wanted.

        Raises:
            InputError: a question without an answer after all tries; those answered before are in the cache.
        """
        asked = [json.dumps(self._body(c, w), sort_keys=True) for c, w in zip(captions, wishes, strict=True)]
        missing = [body for body in dict.fromkeys(asked) if body not in self.cache]
        failed = self._ask_all(missing)
        self.skipped += sum(body in failed for body in asked)
        return [wish if body in failed else self.cache[body] for body, wish in zip(asked, wishes, strict=True)]

    def _body(self, caption: str, wish: str) -> dict[str, Any]:
        return {"model": self.config.model, "messages": rewrite_messages(caption, wish), "temperature": 0, "max_tokens": 120}

    def _ask_all(self, bodies: list[str]) -> set[str]:
        """Fills the cache; returns the questions left without an answer."""
        failed: set[str] = set()
        with concurrent.futures.ThreadPoolExecutor(self.config.parallel) as pool:
            running = {pool.submit(self._ask, body): body for body in bodies}
            for future in with_progress(concurrent.futures.as_completed(running), "Rewriting", len(bodies), True):
                try:
                    self.cache[running[future]] = future.result()
                except NoAnswer as error:
                    if self.config.on_failure == "error":
                        pool.shutdown(wait=False, cancel_futures=True)
                        self._pace.stop()
                        raise InputError(f"{self.config.url}: {error}; check the server, then run again to go on") from error
                    failed.add(running[future])
        return failed

    def _ask(self, body: str) -> str:
        """One question, tried several times."""
        for attempt in range(self.config.tries):
            self._pace.wait()
            try:
                return self._answer(body)
            except NoAnswer as error:
                if error.final or attempt == self.config.tries - 1:
                    raise
                self._pace.pause(min(LONGEST_WAIT, error.retry_after or self.config.wait * 2**attempt))
        raise AssertionError("unreachable: the last try returns or raises")

    def _answer(self, body: str) -> str:
        """One try."""
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.config.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, body.encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.config.timeout) as response:
                return _read_answer(response.read(LONGEST_RESPONSE))
        except urllib.error.HTTPError as error:
            later = error.code == 429 or error.code >= 500
            raise NoAnswer(f"HTTP {error.code} {error.reason}", _retry_after(error.headers), final=not later) from error
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self.config.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(str(getattr(error, "reason", None) or error or type(error).__name__)) from error


class NoAnswer(Exception):
    """A try that failed; ``final`` where another cannot help."""

    def __init__(self, reason: str, retry_after: float | None = None, *, final: bool = False):
        super().__init__(reason)
        self.retry_after, self.final = retry_after, final


def _read_answer(content: bytes) -> str:
    try:
        answer = first_line(json.loads(content)["choices"][0]["message"]["content"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NoAnswer(f"it does not answer like an OpenAI-compatible server: {content[:60]!r}") from error
    if not answer:
        raise NoAnswer("it answers with an empty text")
    return answer


def _retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait: a number or a date."""
    value = (headers or {}).get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


class Pace:
    """Starts at most so many requests a minute, over all threads, and can be stopped from outside."""

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
    """Answers by question, in memory and appended to a file line by line; a line cut in half is dropped, not fatal."""

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
                continue  # asked again
        if content and not content.endswith(b"\n"):  # the next answer must not be glued to half a line
            with open(path, "ab") as file:
                file.write(b"\n")


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()
