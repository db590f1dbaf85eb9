"""Run by ``test_kill.py``: trains, is killed as planned, resumes, over and over, and prints what was found as JSON.

``python -m tests.kill_worker PLAN.json``. Every training is a fork of this process, which computes in one thread alone: so it
costs no import of PyTorch, TensorBoard and pandas, and no thread pool is forked, in which a child would wait for ever.
"""

import csv
import importlib
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import open_clip
import pandas  # noqa: F401
import torch
import torch.utils.tensorboard  # noqa: F401

import e2
from e2.checkpoint import CONFIG, WEIGHTS, read_tensors
from e2.training.run import SUMMARY, start_run
from e2.training.state import read_state, states


def train(out: Path, options: dict, inside: list | None = None) -> int:
    """Starts or resumes a run in a fork; returns its process id."""
    if process := os.fork():
        return process
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    status = 1
    try:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        if inside:
            die_inside(*inside)
        start_run(out, options, resume=True)
        status = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.__stderr__)
    finally:
        os._exit(status)


def die_inside(module: str, name: str, nth: int, manner: str) -> None:
    """Has the nth call of a function kill this process: ``before`` it, ``after`` it, or when it has done ``half`` its work."""
    owner = importlib.import_module(module)
    original, calls = getattr(owner, name), itertools.count(1)

    def cut(*args, **kwargs):
        nothing = name == "rmtree" and not any(path.is_file() for path in Path(args[0]).rglob("*"))
        if nothing or next(calls) < nth:
            return original(*args, **kwargs)
        if manner == "half" and name == "rmtree":
            next(path for path in Path(args[0]).rglob("*") if path.is_file()).unlink()
        elif manner == "half":
            original(*args, **kwargs)
            os.truncate(args[1], os.path.getsize(args[1]) // 2)
        elif manner == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, cut)


def wait(process: int, out: Path, seconds: float) -> int | None:
    """The process's exit status (negative: by a signal), None if it lives on; reads the best checkpoint all the while."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            return None
        if (out / WEIGHTS).exists():
            assert read_tensors(out / WEIGHTS)
        time.sleep(0.1)


def inspect(out: Path, before: dict) -> dict:
    """What a killed run left: at least what was there ``before``, all of it readable.

    Raises:
        AssertionError, InputError: it is not.
    """
    found = {"step": 0, "weights": (out / WEIGHTS).exists(), "begun": bool(states(out))}
    if found["begun"] and not (out / SUMMARY).exists():  # a finished run's state is being removed
        folder, progress, _ = read_state(out)
        assert read_tensors(folder / "state.safetensors")
        found["step"] = progress.step
        assert progress.step >= before.get("step", 0)
    if found["weights"]:
        assert (out / CONFIG).exists() and e2.load(out)
    assert found["weights"] >= before.get("weights", False)
    return found


def logged(out: Path) -> list[tuple[str, str]]:
    """Step and loss of every row of the log."""
    with open(out / "log.csv") as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


def leftovers(out: Path) -> list[str]:
    """Temporary files that nobody will need again."""
    return [str(path) for path in (*out.rglob("*"), *out.parent.glob(f".{out.name}*")) if ".tmp" in path.name]


def main(plan: dict) -> dict:
    """Kills runs as planned; every run that comes to its end is compared with an unbroken one."""
    torch.set_num_threads(1)
    open_clip.add_model_config(plan["configs"])
    folder, options = Path(plan["folder"]), plan["options"]
    unbroken, start = folder / "unbroken", time.monotonic()
    assert wait(train(unbroken, options), unbroken, 300) == 0
    length = time.monotonic() - start
    reference, result = read_tensors(unbroken / WEIGHTS), {"kills": 0, "inside": 0, "ended": 0, "steps": []}
    history = json.loads((unbroken / SUMMARY).read_text())["history"]
    rows = logged(unbroken)
    kills, number, left = list(plan["kills"]), 0, {}
    while True:
        out = folder / f"run{number}"
        kill = kills.pop(0) if kills else {"at": float("inf")}
        process = train(out, options, kill.get("inside"))
        status = wait(process, out, kill["at"] * length if "at" in kill else 300)
        if status is None:
            os.kill(process, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == -signal.SIGKILL:
            left = inspect(out, left)
            result["kills"] += 1
            result["inside"] += "inside" in kill
            result["steps"].append(left["step"])
            continue
        assert status == 0, f"the resumed run failed after {left} with status {status}"
        tensors = read_tensors(out / WEIGHTS)
        assert tensors.keys() == reference.keys()
        assert all(torch.equal(tensors[name], reference[name]) for name in reference), f"other weights after {left}"
        assert json.loads((out / SUMMARY).read_text())["history"] == history
        assert logged(out) == rows
        assert not (out / "training").exists() and not leftovers(out), leftovers(out)
        result["ended"] += 1
        if kill == {"at": float("inf")}:
            return result
        if "inside" in kill and not left:
            raise AssertionError(f"{kill} was never reached")
        kills.insert(0, kill)  # what was left of the run was over before its kill: the next one gets it
        number, left = number + 1, {}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
