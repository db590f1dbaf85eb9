"""Trains a caption decoder on texts, or on photos with their texts: resumable, each step a function of (seed, step)."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.corpus import Corpus
from e2.adapters.captioning.model import IGNORED, CaptionModel
from e2.adapters.captioning.prompt import drop_tags, prompt_text
from e2.adapters.captioning.run_state import Reached, load_state, save_state
from e2.adapters.captioning.tokenizers import Tokenizer
from e2.data.seeds import mixed_seed
from e2.devices import computing_in, has_bf16
from e2.errors import TrainingStopped
from e2.finite import clip_finite_gradient, require_finite_loss
from e2.progress import LogLines
from e2.training.optim import decay_groups
from e2.training.stopping import stop_signals

POOL = 64  # batches whose rows are sorted by length together
SAVE_SECONDS = 60.0


@dataclass
class Examples:
    """Training examples of the decoder, ready for batching."""

    corpus: Corpus
    embeddings: np.ndarray  # (U, D) of the distinct texts, or (P, D) of the products' photos
    conditions: np.ndarray  # (R,) row of the embeddings for each row of the corpus
    tokens: np.ndarray  # concatenated ids of all distinct texts
    ends: np.ndarray  # their ends
    tokenizer: Tokenizer
    config: CaptionerConfig

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        texts = self.corpus.rows[rows]
        return self.ends[texts + 1] - self.ends[texts]

    def batch(self, rows: np.ndarray, random: np.random.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """Makes a batch: (B, D) embeddings, (B, L) tokens and labels; ``random`` drops tags, None keeps all."""
        sequences, labels = [], []
        for row in rows.tolist():
            text = self.corpus.rows[row]
            caption = self.tokens[self.ends[text] : self.ends[text + 1]].tolist()
            prompt = self._prompt(row, random)
            sequences.append(torch.tensor(prompt + caption))
            labels.append(torch.tensor([IGNORED] * len(prompt) + caption))
        features = torch.from_numpy(np.asarray(self.embeddings[self.conditions[rows]], dtype=np.float32))
        return features, pad_sequence(sequences, True, 0), pad_sequence(labels, True, IGNORED)

    def _prompt(self, row: int, random: np.random.Generator | None) -> list[int]:
        if self.config.prompt == "none":
            return []
        tags = self.corpus.tags_of(row)
        tags = tags if random is None else drop_tags(tags, self.config.tag_dropout, random)
        return self.tokenizer.encode(prompt_text(self.config.prompt, tags))


def tokenized(texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Concatenates all texts' ids, each cut to ``max_tokens`` with the stop token; their ends; how many were cut."""
    ids: list[np.ndarray] = []
    ends, cut = np.zeros(len(texts) + 1, np.int64), 0
    for row, text in enumerate(texts):
        encoded = tokenizer.encode(text)
        cut += len(encoded) >= max_tokens
        ids.append(np.array([*encoded[: max_tokens - 1], tokenizer.stop_id], np.int32))
        ends[row + 1] = ends[row] + len(ids[-1])
    return np.concatenate(ids), ends, cut


def epoch_batches(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Batches all rows once, randomly but by similar length, to save padding."""
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), batch_size * POOL):
        pool = order[start : start + batch_size * POOL]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


@dataclass
class Trainer:
    """One run."""

    model: CaptionModel  # on its device
    examples: Examples
    train_rows: np.ndarray
    val_rows: np.ndarray  # only measured
    disturb: Callable[[Tensor], Tensor]  # (B, D) -> (B, D), CapDec's noise
    out: Path  # folder of the resumable state
    # what texts, photos and encoder are learned from; a resumed training needs the same
    origin: dict[str, str | None] = field(default_factory=dict)
    progress: bool = True  # show a bar

    def __post_init__(self) -> None:
        self.config = self.examples.config
        self.device = next(self.model.parameters()).device
        self.steps_per_epoch = math.ceil(len(self.train_rows) / self.config.batch_size)
        self.steps = run_length(self.config, self.steps_per_epoch)
        self.optimizer = make_optimizer(self.model, self.config)
        self.reached = Reached()

    def run(self, resume: bool = False) -> dict:
        """Trains to the end.

        Returns:
            ``steps``, ``val_loss``, ``seconds``, ``tokens_per_s`` and the ``history`` of evaluations.

        Raises:
            InputError: a state of another run.
            TrainingStopped: a loss or gradient is not finite; or Ctrl-C or SIGTERM, after saving the state.
        """
        if resume:
            self.reached = load_state(self.out, self.model, self.optimizer, self._settings())
        start, first, tokens, saved = time.monotonic(), self.reached.step, 0, time.monotonic()
        losses: list[float] = []
        with stop_signals() as stopped, self._bar() as shown:
            for rows in self._batches():
                loss, count = self._step(rows)
                tokens, losses = tokens + count, [*losses[-99:], loss]
                self.reached.step += 1
                step = self.reached.step
                if step % self.steps_per_epoch == 0 or step == self.steps:
                    self._evaluate(float(np.mean(losses)))
                shown(step, float(np.mean(losses)))
                if stopped() or time.monotonic() - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
                if stopped():
                    raise TrainingStopped(f"stopped at step {step} of {self.steps}", f"--resume --out {self.out}")
        self._save()
        seconds = time.monotonic() - start
        history = self.reached.history
        return {
            "steps": self.steps,
            "val_loss": history[-1]["val_loss"] if history else None,
            "seconds": round(seconds, 1),
            "tokens_per_s": round(tokens / seconds) if self.reached.step > first else None,
            "history": history,
        }

    def _settings(self) -> dict[str, Any]:
        return asdict(self.config) | self.origin

    def _step(self, rows: np.ndarray) -> tuple[float, int]:
        """Updates once; returns the loss and the number of tokens learned from."""
        step, config = self.reached.step, self.config
        features, tokens, labels = self.examples.batch(rows, np.random.default_rng((config.seed, step)))
        torch.manual_seed(mixed_seed(config.seed, step))  # noise and dropout
        self.model.train()
        self.model.language_model.train(config.tune_language_model)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * rate(step, self.steps, config.warmup)
        with self._autocast():
            features = self.disturb(features.to(self.device))
            loss = self.model(features, tokens.to(self.device), labels.to(self.device), label_smoothing=config.label_smoothing)
        value = loss.item()
        require_finite_loss(value, f"the loss at step {step}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_finite_gradient(self.model, config.clip_norm, step)
        self.optimizer.step()
        return value, int((labels != IGNORED).sum())

    @torch.inference_mode()
    def validation_loss(self) -> float:
        """Mean cross-entropy per token of the held-out texts, with noise (always the same) and all tags."""
        self.model.eval()
        total, count, device = 0.0, 0, self.device
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device]):
            torch.manual_seed(self.config.seed)
            for start in range(0, len(self.val_rows), self.config.batch_size):
                features, tokens, labels = self.examples.batch(self.val_rows[start : start + self.config.batch_size], None)
                learned = int((labels != IGNORED).sum())
                with self._autocast():
                    loss = self.model(self.disturb(features.to(device)), tokens.to(device), labels.to(device))
                total, count = total + loss.item() * learned, count + learned
        return total / count

    def _evaluate(self, loss: float) -> None:
        val_loss = self.validation_loss()
        require_finite_loss(val_loss, f"the validation loss after step {self.reached.step}")
        self.reached.history.append({"step": self.reached.step, "loss": loss, "val_loss": val_loss})

    def _batches(self) -> Iterator[np.ndarray]:
        """Yields the remaining steps' rows."""
        lengths = self.examples.lengths(self.train_rows)
        epoch, done = divmod(self.reached.step, self.steps_per_epoch)
        left = self.steps - self.reached.step
        while left > 0:
            batches = epoch_batches(lengths, self.config.batch_size, self.config.seed, epoch)[done:][:left]
            yield from (self.train_rows[batch] for batch in batches)
            left, epoch, done = left - len(batches), epoch + 1, 0

    def _autocast(self) -> contextlib.AbstractContextManager:
        low = self.config.precision == "bf16" or (self.config.precision == "auto" and has_bf16(self.device))
        return computing_in(torch.bfloat16 if low else torch.float32, self.device)

    def _save(self) -> None:
        save_state(self.out, self.model, self.optimizer, self.reached, self._settings())

    @contextlib.contextmanager
    def _bar(self) -> Iterator[Callable[[int, float], None]]:
        if not self.progress:
            yield lambda step, loss: None
            return
        console = Console(stderr=True)
        if not console.is_terminal:
            lines = LogLines("Captioner", self.steps)
            yield lambda step, loss: lines.tell(step, f"loss {loss:.3f}")
            return
        columns = (TextColumn("Captioner"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task("", total=self.steps, completed=self.reached.step)
            yield lambda step, loss: bar.update(task, completed=step, description=f"loss {loss:.3f}")


def run_length(config: CaptionerConfig, steps_per_epoch: int) -> int:
    """Number of steps: as configured, or else enough for a small corpus and few epochs of a large one."""
    if config.steps is not None:
        return config.steps
    if config.epochs is not None:
        return max(1, round(config.epochs * steps_per_epoch))
    return max(600, 5 * steps_per_epoch)


def make_optimizer(model: CaptionModel, config: CaptionerConfig) -> torch.optim.Optimizer:
    """Makes AdamW; only matrices decay; a frozen language model is left out."""
    model.language_model.requires_grad_(config.tune_language_model)
    groups = decay_groups((p for p in model.parameters() if p.requires_grad), config.weight_decay)
    return torch.optim.AdamW(groups, lr=0.0, eps=1e-6, fused=True)


def rate(step: int, steps: int, warmup: float) -> float:
    """Share of the peak rate at a step (0-based): linear warm-up, then linear decay to 0, as in both originals."""
    rising = max(1, round(warmup * steps))
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)
