"""Settings of a captioner, with the defaults of its method; stored completely in its ``config.json``."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import Field

from e2.errors import InputError, printable
from e2.settings import Count, Natural, Positive, Seed, Share, Weight, from_dict, setting, settings
from e2.training.settings import parse_settings

Cosine = Annotated[float, Field(gt=0, le=1)]


@settings
class CaptionerConfig:
    """Settings of a captioner and its training."""

    method: Literal["decap", "capdec", "nearest"] = setting("decap", "nearest: the memory's nearest text, no training")
    text: Literal["caption", "full"] = setting("caption", "of a product: its description, or tags too")
    paired: bool = setting(False, "learn each product's text from its photo, instead of from the text alone")
    prompt: Literal["none", "tags", "entities"] = setting("none", "tags are read off the photo; entities are ViECap's")
    tag_dropout: Share = setting(0.3, "probability of dropping a true tag from a prompt in training")
    tag_precision: Share = setting(0.8, "target precision of read tags, for thresholds set on labelled photos")
    max_tokens: Annotated[int, Field(ge=2)] = setting(77, "length of a caption, including the stop token")
    tokenizer: Literal["sentencepiece", "clip"] = setting("sentencepiece", "a pre-trained language model brings its own")
    vocabulary: Count = setting(4000, "most pieces of a SentencePiece tokenizer")
    language_model: str | None = setting(None, "a GPT-2 folder or hub name; null = a new one of the following size")
    layers: Count = setting(4, "of a new language model")
    heads: Count = setting(4, "of a new language model; they divide its width")
    width: Count = setting(256, "of a new language model")
    dropout: Share = setting(0.1, "of a new language model")
    tune_language_model: bool = setting(True, "false trains only the mapper (CapDec's --only_prefix)")
    mapper: Literal["linear", "mlp", "transformer"] = setting("linear", "from embedding to prefix")
    prefix_length: Count = setting(1, "tokens that represent the embedding")
    mapper_layers: Count = setting(8, "of the transformer mapper")
    variance: Weight = setting(0.0, "CapDec's noise, per component")
    target_cosine: Cosine | None = setting(None, "the noise by its cosine to the clean vector, instead of variance")
    calibration: Literal["like-texts", "image-gap"] | None = setting(
        None, "the noise from the corpus or from photos, instead of either"
    )
    uniform: bool = setting(False, "noise from a ball of radius sqrt(variance)")
    modality_offset: bool = setting(False, "train on texts shifted by mean(photos) - mean(texts)")
    memory_size: Count = setting(500_000, "most texts in DeCap's memory; of more, a random sample")
    memory_precision: Literal["fp16", "fp32"] = setting("fp16", "of the memory")
    temperature: Positive = setting(0.01, "of DeCap's projection")
    label_smoothing: Share = setting(0.0, "of the training's cross-entropy")
    lr: Positive = setting(1e-3, "peak rate")
    weight_decay: Weight = setting(0.01, "AdamW's, of matrices")
    warmup: Share = setting(0.05, "share of the steps")
    clip_norm: Positive = setting(1.0, "most of the gradient's norm")
    batch_size: Count = setting(256, "texts a step")
    epochs: Positive | None = setting(None, "length of the training; null = five epochs, and at least 600 steps")
    steps: Count | None = setting(None, "length of the training")
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "of training; auto is bf16 if the processor supports it")
    validation_size: Natural = setting(1000, "most held-out texts")
    seed: Seed = setting(0, "of everything random")

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise InputError(f"heads {self.heads} do not divide width {self.width}")
        if self.paired and self.method == "nearest":
            raise InputError("nearest learns nothing, so it has no use for pairs; choose decap or capdec")
        if self.paired and (self.calibration or self.modality_offset):
            raise InputError(
                "paired learns from photos: calibration and modality_offset, for texts, do not fit; leave them out"
            )


def default_config(method: str, **options: Any) -> CaptionerConfig:
    """Default settings of a method, with the given options."""
    defaults: dict[str, dict[str, Any]] = {
        "decap": {"label_smoothing": 0.1},  # the paper's
        "capdec": {"mapper": "mlp", "prefix_length": 10, "variance": 0.016},
    }
    settings = defaults.get(method, {}) | ({"variance": 0.0} if options.get("paired") else {}) | options
    if settings.get("language_model") and "lr" not in options:
        settings["lr"] = 5e-5  # a pre-trained model forgets at the rate that a new one needs
    return from_dict(CaptionerConfig, {"method": method, **settings}, "captioner")


def further_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parses further ``KEY=VALUE`` settings of the command line."""
    known = {field.name for field in fields(CaptionerConfig)} - {"method"}
    found = parse_settings(settings)
    if unknown := [key for key in found if key not in known]:
        raise InputError(f"--set {printable(unknown[0])}: unknown setting; there are {', '.join(sorted(known))}")
    return found
