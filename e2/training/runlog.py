"""Reports of a training run: a progress bar for people, ``log.csv`` for programs, and accelerate's trackers."""

import csv
import os
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from e2.files import atomic_path
from e2.model import E2
from e2.notes import say
from e2.training.trackers import finish_trackers, log_row
from e2.training.watch import StepFindings

EVERY = 10  # steps between rows
QUIET_EVERY = 60.0  # seconds between lines if the output is not a terminal
FIELDS = [
    "step", "loss", "global_loss", "region_loss", "image_tag_loss", "late_loss", "distill_loss",
    "grad_norm", "lr", "logit_scale", "images_per_second", "data_wait",
    "image_to_text_R@1", "image_to_text_R@5", "image_to_text_R@10",
    "text_to_image_R@1", "text_to_image_R@5", "text_to_image_R@10", "SumR",
]  # fmt: skip
FIELDS += [f"second_{name}" for name in (*FIELDS[-7:], "tag_accuracy")]


class RunLog:
    """Logs one run; on resume, drops rows of steps that will be repeated."""

    def __init__(self, out: Path, accelerator: Accelerator, steps: int, start: int):
        self.path, self.accelerator, self.steps, self.start = out / "log.csv", accelerator, steps, start
        self.show = accelerator.is_main_process
        self.console = Console(stderr=True, quiet=not self.show)
        self.images, self.since = 0, time.monotonic()
        self.spoke = time.monotonic()

    def __enter__(self) -> "RunLog":
        if self.show:
            drop_rows_after(self.path, self.start)
            self.file = open(self.path, "a", newline="")
            self.rows = csv.DictWriter(self.file, FIELDS, restval="")
            if self.file.tell() == 0:
                self.rows.writeheader()
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.bar.start()
        self.task = self.bar.add_task("", total=self.steps, completed=self.start, status="")
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()
        if self.show:
            self.file.close()
        finish_trackers(self.accelerator)

    def count(self, step: int, images: int) -> bool:
        """Counts a step; True if its row is due."""
        self.images += images
        self.bar.update(self.task, completed=step)
        return step % EVERY == 0 or step == self.steps

    def step(self, found: StepFindings, optimizer: torch.optim.Optimizer, model: E2, waited: float) -> None:
        """Writes a step's row.

        ``waited``: seconds since the last row spent waiting for data; ``data_wait`` is their share of the time. Above about
        0.05, more ``--workers`` would help.
        """
        now, step = time.monotonic(), found.step + 1
        seconds, images, self.images, self.since = now - self.since, self.images, 0, now
        row = {
            "step": step,
            "loss": sum(found.losses.values()),
            **found.losses,
            "grad_norm": found.norm,
            "lr": optimizer.param_groups[0]["lr"],
            "logit_scale": model.logit_scale.exp().item(),
            "images_per_second": images / seconds,
            "data_wait": waited / seconds,
        }
        status = f"loss {row['loss']:.3f}  {images / seconds:.0f} images/s"
        self.bar.update(self.task, completed=step, status=status)
        if not self.console.is_terminal and now - self.spoke > QUIET_EVERY:
            self.spoke = now
            self.say(f"step {step}/{self.steps}  {status}")
        self._write(row)

    def evaluation(self, step: int, metrics: dict[str, float], better: bool) -> None:
        """Writes an evaluation's row and prints it."""
        self._write({"step": step, **metrics})
        self.say(f"step {step}/{self.steps}: {in_short(metrics)}{', best so far' if better else ''}")
        if other := [
            f"{name} {metrics[f'second_{name}']:.2f}" for name in ("SumR", "tag_accuracy") if f"second_{name}" in metrics
        ]:
            self.say(f"  second catalogue: {'  '.join(other)}")
        self.images, self.since = 0, time.monotonic()  # evaluation is not training time

    def say(self, line: str) -> None:
        say(line, self.console)

    def _write(self, row: dict) -> None:
        if not self.show:
            return
        self.rows.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
        self.file.flush()
        log_row(self.accelerator, {name: value for name, value in row.items() if name != "step"}, row["step"])


def in_short(metrics: dict[str, float]) -> str:
    """A validation in half a line of a terminal."""
    to_text, to_image = (metrics[f"{way}_R@1"] for way in ("image_to_text", "text_to_image"))
    return f"val SumR {metrics['SumR']:.1f} (R@1 {to_text:.1f} to text, {to_image:.1f} to image)"


def drop_rows_after(path: Path, step: int) -> None:
    """Removes rows of later steps, and an incomplete last row."""
    if not path.exists():
        return
    with open(path, newline="", errors="replace") as file:
        rows = [r for r in csv.DictReader(file) if (r.get("step") or "").isdigit() and int(r["step"]) <= step]
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
