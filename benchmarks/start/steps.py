"""Runs command lines one after the other and keeps in a JSON file which are done, so that none runs twice for the same."""

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from e2.errors import InputError, going_on_with
from e2.files import write_json
from e2.outputs import claim_results
from e2.version import __version__

Call = Callable[[list[str]], Any]  # runs `e2 WORDS`


class StepRecord:
    """The steps of a job that are done, in a file.

    Args:
        file: the record: the job, and each step with its command line and its seconds (null until it is done).
        job: what the steps are about; another one than the record's is refused.
        call: runs a command line.
    """

    def __init__(self, file: Path, job: str, call: Call):
        claim_results(file.parent, file.name)
        self.file, self.job, self._call = file, job, call
        self.record: dict[str, dict[str, Any]] = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.file.exists():
            return {}
        try:
            found = json.loads(self.file.read_text(encoding="utf-8"))
            job, steps = str(found["data"]), dict(found["steps"])
            if not all(step.keys() >= {"key", "seconds", "replaces"} for step in steps.values()):
                raise KeyError("a step's state")
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{self.file} is damaged; remove it, or choose another --out") from error
        if job != self.job:
            raise InputError(f"{self.file.parent} was begun with {job}, not {self.job}; choose another --out")
        return steps

    def do(
        self,
        name: str,
        *words: object,
        inputs: Sequence[object] = (),
        output: Path,
        resumes: bool = False,
        replaces: bool = False,
    ) -> None:
        """Runs ``e2 WORDS`` unless it is done.

        Args:
            name: of the step, of which there is one.
            words: the command line.
            inputs: JSON-able description of what the step reads; it runs again if they change.
            output: file or folder that is there once the step is done.
            resumes: the command takes ``--resume``.
            replaces: it takes ``--overwrite``.
        """
        key = hashlib.sha256(json.dumps([list(map(str, words)), inputs], default=str).encode()).hexdigest()
        before = self.record.get(name)
        same = before is not None and before["key"] == key
        if before and same and before["seconds"] is not None and output.exists():
            print(f"\n{name}: done before, in {_told(before['seconds'])}", flush=True)
            return
        # One killed while it replaced another replaces it again: the other's files may still be there
        goes_on = before is not None and same and not before["replaces"] and resumes
        further = ["--resume"] if goes_on else ["--overwrite"] if before and replaces else []
        line = [*map(str, words), *further]
        shown = shlex.join(["e2", *line])
        print(f"\n$ {shown}", flush=True)
        self.record[name] = {"command": shown, "key": key, "replaces": "--overwrite" in further, "seconds": None}
        self._write()
        began = time.monotonic()
        with going_on_with("e2 start", f"{name}: "):
            self._call(line)
        self.record[name] |= {"seconds": round(time.monotonic() - began, 1), "finished": time.time()}
        self._write()
        print(f"{name}: {_told(self.record[name]['seconds'])}", flush=True)

    def note(self, name: str, **values: object) -> None:
        """Adds to a step's record."""
        self.record[name] |= values
        self._write()

    def seconds(self) -> float:
        """Seconds of all steps."""
        return sum(step["seconds"] or 0 for step in self.record.values())

    def _write(self) -> None:
        content = {"data": self.job, "seconds": round(self.seconds(), 1), "steps": self.record, "version": __version__}
        write_json(self.file, content)


def _told(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
