"""Caches answers by question in a file, so that nothing is asked twice."""

import hashlib
import json
from pathlib import Path


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
