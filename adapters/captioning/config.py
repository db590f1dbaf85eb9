"""Settings of a captioner, with the defaults of its method; stored completely in its ``config.json``."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from e2.adapters.captioning.mappers import MAPPERS
from e2.adapters.captioning.prompt import PROMPTS
from e2.config import from_dict
from e2.errors import InputError, printable
from e2.training.settings import parse_settings, require_finite

METHODS = ("decap", "capdec", "nearest")
CALIBRATIONS = ("like-texts", "image-gap")
TOKENIZERS = ("sentencepiece", "clip")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class CaptionerConfig:
    """Settings of a captioner and its training.

    Attributes:
        method: ``decap``, ``capdec``, or ``nearest`` (the memory's nearest text, no training).
        text: ``caption`` or ``full``.
        prompt: ``none``, ``tags`` or ``entities`` (ViECap's).
        tag_dropout: probability of dropping a true tag from a prompt in training.
        tag_precision: target precision of read tags, for thresholds set on labelled photos.
        max_tokens: length of a caption, including the stop token.
        tokenizer: ``sentencepiece`` or ``clip``; a pre-trained language model brings its own.
        vocabulary: most pieces of a SentencePiece tokenizer.
        language_model: a GPT-2 folder or hub name; None: a new one of the following size.
        layers, heads, width: of a new language model.
        dropout: of a new language model.
        tune_language_model: False trains only the mapper (CapDec's ``--only_prefix``).
        mapper: ``linear``, ``mlp`` or ``transformer``.
        prefix_length: tokens that represent the embedding.
        mapper_layers: of the transformer mapper.
        variance: CapDec's noise, per component.
        target_cosine: the noise by its cosine to the clean vector, instead of ``variance``.
        calibration: the noise from the corpus (``like-texts``) or photos (``image-gap``), instead of either.
        uniform: noise from a ball of radius sqrt(variance).
        modality_offset: train on texts shifted by mean(photos) - mean(texts).
        memory_size: most texts in DeCap's memory; of more, a random sample.
        memory_precision: fp16 or fp32.
        temperature: of DeCap's projection.
        label_smoothing, lr, weight_decay, warmup (share of the steps), clip_norm, batch_size: training.
        epochs, steps: its length; default: five epochs, and at least 600 steps.
        precision: of training; ``auto`` is bf16 if the processor supports it.
        validation_size: most held-out texts.
        seed: of everything random.
    """

    method: str = "decap"
    text: str = "caption"
    prompt: str = "none"
    tag_dropout: float = 0.3
    tag_precision: float = 0.8
    max_tokens: int = 77
    tokenizer: str = "sentencepiece"
    vocabulary: int = 4000
    language_model: str | None = None
    layers: int = 4
    heads: int = 4
    width: int = 256
    dropout: float = 0.1
    tune_language_model: bool = True
    mapper: str = "linear"
    prefix_length: int = 1
    mapper_layers: int = 8
    variance: float = 0.0
    target_cosine: float | None = None
    calibration: str | None = None
    uniform: bool = False
    modality_offset: bool = False
    memory_size: int = 500_000
    memory_precision: str = "fp16"
    temperature: float = 0.01
    label_smoothing: float = 0.0
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05
    clip_norm: float = 1.0
    batch_size: int = 256
    epochs: float | None = None
    steps: int | None = None
    precision: str = "auto"
    validation_size: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        choices: dict[str, tuple[str | None, ...]] = {
            "method": METHODS,
            "prompt": PROMPTS,
            "tokenizer": TOKENIZERS,
            "mapper": MAPPERS,
            "precision": PRECISIONS,
        }
        choices |= {"text": ("caption", "full"), "memory_precision": ("fp16", "fp32"), "calibration": (None, *CALIBRATIONS)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"unknown {name} {getattr(self, name)!r}; choose {', '.join(str(a) for a in allowed if a)}")
        for name in ("layers", "heads", "width", "prefix_length", "mapper_layers", "memory_size", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} {getattr(self, name)}: must be 1 or more")
        if self.max_tokens < 2:
            raise InputError(f"max_tokens {self.max_tokens}: must be 2 or more, a token and the stop token")
        if not (self.steps is None or self.steps >= 1) or not (self.epochs is None or self.epochs > 0):
            raise InputError("a captioner trains for one step or more: raise --steps or --epochs")
        for name in ("vocabulary", "temperature", "lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} {getattr(self, name)}: must be above 0")
        for name in ("variance", "weight_decay", "validation_size"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} {getattr(self, name)}: must not be negative")
        for name in ("tag_dropout", "tag_precision", "dropout", "label_smoothing", "warmup"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} {getattr(self, name)}: must lie in 0..1")
        if self.target_cosine is not None and not 0 < self.target_cosine <= 1:
            raise InputError(f"target_cosine {self.target_cosine}: must lie above 0 and up to 1")
        if self.width % self.heads:
            raise InputError(f"heads {self.heads} do not divide width {self.width}")


def default_config(method: str, **options: Any) -> CaptionerConfig:
    """Default settings of a method, with the given options.

    Raises:
        InputError: an unknown method, option or value, or a value of the wrong type.
    """
    defaults: dict[str, dict[str, Any]] = {
        "decap": {"label_smoothing": 0.1},  # the paper's
        "capdec": {"mapper": "mlp", "prefix_length": 10, "variance": 0.016},
    }
    settings = defaults.get(method, {}) | options
    if settings.get("language_model") and "lr" not in options:
        settings["lr"] = 5e-5  # a pre-trained model forgets at the rate that a new one needs
    return from_dict(CaptionerConfig, {"method": method, **settings}, "captioner")


def further_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parses further ``KEY=VALUE`` settings of the command line.

    Raises:
        InputError: a setting of another form, or one that a captioner does not have.
    """
    known = {field.name for field in fields(CaptionerConfig)} - {"method"}
    found = parse_settings(settings)
    if unknown := [key for key in found if key not in known]:
        raise InputError(f"--set {printable(unknown[0])}: unknown setting; there are {', '.join(sorted(known))}")
    return found
