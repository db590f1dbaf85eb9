"""All settings, one dataclass per concern. A file lists only what differs from the defaults; unknown keys are refused."""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from e2.errors import InputError, printable


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuses a value that is not among the choices, naming them."""
    if value not in choices:
        raise InputError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")


def require_range(name: str, value: float | None, low: float, high: float = sys.float_info.max) -> None:
    """Refuses a number outside ``low`` to ``high``, infinity always; None passes."""
    if value is not None and not low <= value <= high:
        bounds = f"be finite and at least {low}" if high == sys.float_info.max else f"lie between {low} and {high}"
        raise InputError(f"{name} must {bounds}, got {value}")


def require_prompt(name: str, prompt: str) -> None:
    """Refuses a template that names anything but ``{tag}`` and ``{entity}``."""
    try:
        prompt.format(tag="", entity="")
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{name} {prompt!r} is no template; it may name {{tag}} and {{entity}} only") from error


@dataclass(frozen=True)
class ModelConfig:
    """What E2 adds to a backbone."""

    tags: tuple[str, ...] = ()  # the entities; none = the plain backbone
    tokens: int | dict[str, int] = 2  # selection tokens per entity, one number or entity -> number
    places: str = "local"  # what tokens choose among: local features of the pixels | the backbone's patches
    attention: str = "apart"  # of the tokens in the blocks: apart = on each other | one-way = the image too | full
    layers: tuple[int, ...] | None = None  # fusion after so many blocks; None = 2/3 and 11/12 of the depth; () = none
    selector: str = "soft"  # hard | soft | top-k | random (a control)
    temperature: float = 1.0  # of the selection's softmax
    rank: int | None = None  # width of the fusion blocks' query/key space; None = an eighth of the tower's width, at least 32
    reader: str = "default"  # default | paper
    slips: bool = True  # paper reader only: keep the two slips of the released code

    def token_counts(self) -> dict[str, int]:
        """Entity -> number of selection tokens."""
        if isinstance(self.tokens, int):
            counts = dict.fromkeys(self.tags, self.tokens)
        else:
            unknown = set(self.tokens) - set(self.tags)
            if unknown:
                raise InputError(f"tokens name entities that are not among the tags: {', '.join(sorted(unknown))}")
            counts = {tag: self.tokens.get(tag, 2) for tag in self.tags}
        if any(count < 1 for count in counts.values()):
            raise InputError(f"each entity needs at least one selection token, got {counts}")
        return counts

    def layers_for(self, depth: int) -> tuple[int, ...] | None:
        """The fusion layers, checked against the tower's depth; None where the default holds."""
        if self.layers is None:
            return None
        if not all(1 <= layer <= depth for layer in self.layers):
            raise InputError(f"fusion layers {list(self.layers)} do not fit a tower of {depth} blocks; choose 1 to {depth}")
        return tuple(sorted(set(self.layers)))

    def __post_init__(self):
        require_choice("model.places", self.places, ("local", "patches"))
        require_choice("model.attention", self.attention, ("apart", "one-way", "full"))
        require_choice("model.reader", self.reader, ("default", "paper"))
        require_range("model.temperature", self.temperature, 1e-4)
        require_range("model.rank", self.rank, 1)


@dataclass(frozen=True)
class LossConfig:
    """How the loss is put together."""

    global_weight: float = 1.0
    region_weight: float = 3.0  # times the mean over the entities
    tag_scale: float | None = 30.0  # start of the tags' own logit scales, one per entity; None = the model's, as published
    same_tag_positive: bool = True  # each tag of a batch counts once; False = the paper's diagonal, by its products
    centre_tags: bool = True  # tag texts less their mean in the batch; False = as they are, as published
    region_prompt: str = "{tag}"  # text of a tag; may also name {entity}
    max_logit_scale: float | None = 100.0  # CLIP's clamp; None = never clamped, as in the released code
    temperature: tuple[float, float] | None = None  # linear from the first to the second over the run; None = learnt (CLIP)
    kind: str = "auto"  # softmax | sigmoid (SigLIP's, for models with a logit bias) | auto: what the model was made for
    late_weight: float = 1.0  # filip only: of the token-wise loss
    negatives: int = 1  # clip-lite only: texts that a photo is told apart from
    distill_weight: float = 0.0  # of the image embedding's distance from that of the pre-trained start model

    def __post_init__(self):
        require_choice("loss.kind", self.kind, ("auto", "softmax", "sigmoid"))
        for name in ("global_weight", "region_weight", "late_weight", "distill_weight"):
            require_range(f"loss.{name}", getattr(self, name), 0)
        require_range("loss.max_logit_scale", self.max_logit_scale, 1)
        require_range("loss.tag_scale", self.tag_scale, 1)
        for temperature in self.temperature or ():
            require_range("loss.temperature", temperature, 1 / (self.max_logit_scale or 1e4), 1)
        require_prompt("loss.region_prompt", self.region_prompt)
        if self.negatives < 1:
            raise InputError(f"loss.negatives must be at least 1, got {self.negatives}")


@dataclass(frozen=True)
class OptimConfig:
    """AdamW with warm-up and cosine; one group for the backbone, one for what E2 adds."""

    lr: float | None = None  # backbone; None = 1e-3 from random weights, 2e-5 from pre-trained ones
    new_lr: float | None = None  # new parameters; None = twice lr from random weights, 5e-4 beside pre-trained ones
    weight_decay: float = 0.1  # matrices only; vectors and scalars are never decayed
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = 0.05  # share of all steps
    final_lr: float = 0.0  # share of the peak that the cosine ends at
    clip_norm: float | None = 1.0  # of the whole gradient
    new_only: float = 0.0  # first stage: share of all steps in which only the new parameters learn (paper: 0.2)
    image_layers: int | None = None  # train only the last so many groups of the image tower; 0 = frozen, None = all
    text_layers: int | None = None  # the same for the text tower

    def __post_init__(self):
        for name in ("lr", "new_lr", "weight_decay", "image_layers", "text_layers"):
            require_range(f"optim.{name}", getattr(self, name), 0)
        require_range("optim.clip_norm", self.clip_norm, 1e-12)  # 0 would leave no gradient; null clips none
        for name in ("warmup", "final_lr", "new_only"):
            require_range(f"optim.{name}", getattr(self, name), 0, 1)
        for beta in self.betas:
            require_range("optim.betas", beta, 0, 1 - 1e-9)


@dataclass(frozen=True)
class DataConfig:
    """What is read."""

    data: str = "boutique"  # the SPEC
    tags: tuple[str, ...] = ()  # entities the training uses; the design's `--tags a,b=column_b` resolved to names
    tag_columns: dict[str, str] = field(default_factory=dict)  # entity -> column, where they differ
    image_column: str = "image"
    caption_column: str = "caption"
    id_column: str = "product_id"
    delimiter: str | None = None  # between the cells of csv and tsv; None = detected
    encoding: str | None = None  # of csv, tsv and jsonl; None = detected
    missing_values: tuple[str, ...] | None = None  # words for "nothing"; None = NA, None, nan, ... in csv and tsv
    text: str = "caption"  # caption | full | mixed (descriptions and short lists of tags)
    on_bad_row: str = "error"  # error | skip
    augment: str = "light"  # none | light | strong
    batch_size: int = 128  # products a step, over all processes
    chunk_size: int | None = None  # products encoded at a time; the gradients stay those of the whole batch
    workers: int = 2  # processes that decode and augment photos

    def __post_init__(self):
        require_choice("text", self.text, ("caption", "full", "mixed"))
        require_choice("on_bad_row", self.on_bad_row, ("error", "skip"))
        require_range("data.workers", self.workers, 0)
        require_range("data.batch_size", self.batch_size, 1)
        if len(set(self.tags)) < len(self.tags):
            raise InputError(f"data.tags {', '.join(self.tags)}: name each entity once")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise InputError(f"data.chunk_size must be at least 1, got {self.chunk_size}")

    @property
    def measured_text(self) -> str:
        """``caption`` or ``full``: the kind of text that validation searches by."""
        return "caption" if self.text == "mixed" else self.text


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: str = "e2"
    preset: str = "default"
    backbone: str = "e2-nano"
    pretrained: str | None = None  # an open_clip tag, a local file or a folder with weights
    image_size: int | tuple[int, int] | None = None  # pixels, or height and width; None = the backbone's own
    epochs: float | None = None  # length of the run; one of epochs and steps
    steps: int | None = None
    eval_every: int | None = None  # steps between evaluations on val; None = once an epoch
    save_every: int | None = None  # steps between resumable states; None = at each evaluation
    patience: int | None = None  # stop after so many evaluations without a better SumR
    wise_ft: float | None = None  # share of the trained weights in what is saved, the rest the start model's; None = all
    seed: int = 0
    precision: str = "fp32"  # fp32 | bf16 | fp16
    device: str = "auto"
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self):
        require_choice("precision", self.precision, ("fp32", "bf16", "fp16"))
        require_choice("device", self.device, ("auto", "cpu", "cuda"))
        require_range("seed", self.seed, 0, 2**63 - 1)
        require_range("epochs", self.epochs, 0)
        for side in self.image_size if isinstance(self.image_size, tuple) else (self.image_size,):
            require_range("image_size", side, 1)
        if self.wise_ft is not None and not 0 <= self.wise_ft <= 1:
            raise InputError(f"wise_ft must lie between 0 (start model) and 1 (trained model), got {self.wise_ft}")
        if self.wise_ft is not None and self.pretrained is None and ":" not in self.backbone:
            raise InputError("wise_ft goes back to pre-trained weights: name them by --pretrained")
        if self.loss.distill_weight and self.pretrained is None and ":" not in self.backbone:
            raise InputError("loss.distill_weight holds on to pre-trained weights: name them by --pretrained")
        for name in ("epochs", "steps", "eval_every", "save_every", "patience"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise InputError(f"{name} must be above 0, got {getattr(self, name)}")


def to_dict(config: Any) -> dict[str, Any]:
    """The whole config as plain JSON-able values."""
    return asdict(config)


def from_dict(cls: type, values: Mapping[str, Any], where: str = "config") -> Any:
    """Builds a config from nested plain values.

    Raises:
        InputError: an unknown key or a value of the wrong type; the message lists the keys that exist.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {values!r}")
    known, hints = {f.name for f in fields(cls)}, typing.get_type_hints(cls)
    unknown = [str(key) for key in values if key not in known]
    if unknown:
        raise InputError(f"{where}: unknown setting {printable(', '.join(unknown))}; there are {', '.join(sorted(known))}")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Checks a plain value against a type hint; lists become tuples, numbers in text (YAML's 5e-4) become numbers."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        for option in (arg for arg in args if arg is not type(None)):
            try:
                return _convert(option, value, where)
            except InputError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        inner = args if args[-1] is not Ellipsis else (args[0],) * len(value)
        if len(inner) == len(value):
            return tuple(_convert(kind, item, where) for kind, item in zip(inner, value, strict=True))
    elif origin is dict and isinstance(value, Mapping):
        return {str(key): _convert(args[1], item, where) for key, item in value.items()}
    elif hint is bool and isinstance(value, bool) or hint is str and isinstance(value, str):
        return value
    elif hint in (int, float) and not isinstance(value, bool) and isinstance(value, int | float | str):
        try:
            if float(value) == hint(value):
                return hint(value)
        except (ValueError, OverflowError):  # infinity has no int, an int of 400 digits no float
            pass
    raise InputError(f"{where}: {value!r} is not a {getattr(hint, '__name__', hint)}")


def merged(config: Any, changes: Mapping[str, Any], where: str = "config") -> Any:
    """A copy of ``config`` with nested changes; checked like ``from_dict``."""
    return from_dict(type(config), _deep_update(to_dict(config), changes), where)


def _deep_update(base: Any, changes: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(changes, Mapping)):
        return changes
    return {**base, **{key: _deep_update(base.get(key), value) for key, value in changes.items()}}


def with_key(key: str, value: Any) -> dict[str, Any]:
    """``("optim.lr", 1e-4)`` -> ``{"optim": {"lr": 1e-4}}``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value
