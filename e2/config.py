"""All settings of a training run, one dataclass per concern. A file lists only what differs from the defaults."""

from dataclasses import field
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from e2.errors import InputError
from e2.settings import Count, Fraction, Natural, Positive, Scale, Seed, Share, Temperature, Weight, setting, settings

EPOCHS = 10  # of a run whose length is not given


def check_prompt(prompt: str) -> str:
    """Refuses a template that names anything but ``{tag}`` and ``{entity}``."""
    try:
        prompt.format(tag="", entity="")
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise ValueError("is not a template; it may name {tag} and {entity} only") from error
    return prompt


@settings
class ModelConfig:
    """Parts that E2 adds to a backbone."""

    tags: tuple[str, ...] = setting((), "the entities; none = the plain backbone")
    tokens: Count | dict[str, Count] = setting(2, "selection tokens per entity, one number or entity -> number")
    locations: Literal["local", "patches"] | None = setting(
        None,
        "what tokens choose among: local features of the pixels, or the backbone's patches; "
        "null = local with random weights, patches with pre-trained ones",
    )
    registers: Literal["hidden", "read"] = setting(
        "hidden",
        "patches of over twice the photo's median norm, which say nothing about their location: hidden from tokens, or read",
    )
    attention: Literal["apart", "one-way", "full"] = setting(
        "apart", "of the tokens in the blocks: apart = on each other, one-way = on the image too, full = all on all"
    )
    gates: Literal["stream", "pooled"] | None = setting(
        None,
        "where the image takes in the tokens: its class token between the blocks, or its pooled output; "
        "null = stream with random weights, pooled with pre-trained ones",
    )
    regions: Literal["with-image", "tokens"] | None = setting(
        None,
        "read from the entity's tokens and the backbone's pooled output, or from the tokens alone; "
        "null = tokens with random weights, with-image with pre-trained ones",
    )
    layers: tuple[int, ...] | None = setting(
        None, "fusion after this many blocks; null = after 2/3 and 11/12 of the depth, [] = none"
    )
    selector: Literal["hard", "soft", "top-k", "random", "uniform"] = setting(
        "soft", "rule by which tokens choose; random and uniform are controls"
    )
    temperature: Annotated[float, Field(ge=1e-4)] = setting(1.0, "of the selection's softmax")
    rank: Count | None = setting(
        None, "width of the fusion blocks' query/key space; null = an eighth of the tower's width, at least 32"
    )
    reader: Literal["default", "paper"] = setting("default", "layout of tokens and blocks: ours, or the published one")
    slips: bool = setting(True, "paper reader only: keep the two mistakes of the released code")

    def token_counts(self) -> dict[str, int]:
        """Entity -> number of selection tokens."""
        if isinstance(self.tokens, int):
            return dict.fromkeys(self.tags, self.tokens)
        if unknown := set(self.tokens) - set(self.tags):
            raise InputError(f"tokens name entities that are not among the tags: {', '.join(sorted(unknown))}")
        return {tag: self.tokens.get(tag, 2) for tag in self.tags}

    def layers_for(self, depth: int) -> tuple[int, ...] | None:
        """The fusion layers, checked against the tower's depth; None where the default holds."""
        if self.layers is None:
            return None
        if not all(1 <= layer <= depth for layer in self.layers):
            raise InputError(f"fusion layers {list(self.layers)} do not fit a tower of {depth} blocks; choose 1 to {depth}")
        return tuple(sorted(set(self.layers)))


@settings
class LossConfig:
    """Composition of the loss."""

    global_weight: Weight = setting(1.0, "of the loss between photos and descriptions")
    region_weight: Weight | None = setting(
        None, "of the loss between regions and tags, a mean over the entities; null = 3 from random weights, 0.3 from others"
    )
    image_tag_weight: Weight | None = setting(
        None, "e2 only: of the loss between image embeddings and tags; null = 0 from random weights, 0.3 from others"
    )
    tag_scale: Scale | None = setting(
        30.0, "initial value of the tags' own logit scales, one per entity; null = the model's, as published"
    )
    same_tag_positive: bool = setting(True, "each tag of a batch counts once; false = the paper's diagonal, by its products")
    centre_tags: bool = setting(True, "tag texts minus their mean in the batch; false = as they are, as published")
    region_prompt: Annotated[str, pydantic.AfterValidator(check_prompt)] = setting(
        "{tag}", "text of a tag; may also name {entity}"
    )
    max_logit_scale: Scale | None = setting(100.0, "CLIP's clamp; null = never clamped, as in the released code")
    temperature: tuple[Temperature, Temperature] | None = setting(
        None, "linear from the first to the second over the run; null = learnt, as in CLIP"
    )
    kind: Literal["auto", "softmax", "sigmoid"] = setting(
        "auto", "softmax, sigmoid (SigLIP's, for models with a logit bias), or what the model was made for"
    )
    late_weight: Weight = setting(1.0, "filip only: of the token-wise loss")
    negatives: Count = setting(1, "clip-lite only: other texts that each photo is contrasted with")
    distill_weight: Weight = setting(0.0, "of the image embedding's distance from that of the pre-trained start model")

    def __post_init__(self) -> None:
        least = 1 / (self.max_logit_scale or 1e4)
        if min(self.temperature or (1.0,)) < least:
            raise InputError(f"loss.temperature must be at least {least:g} (1 / loss.max_logit_scale), got {self.temperature}")


@settings
class OptimConfig:
    """AdamW with warm-up and a schedule; one group for the backbone, one for what E2 adds."""

    lr: Weight | None = setting(None, "of the backbone; null = 1e-3 from random weights, 2e-5 from pre-trained ones")
    new_lr: Weight | None = setting(
        None, "of new parameters; null = twice lr from random weights, 5e-4 beside pre-trained ones"
    )
    weight_decay: Weight = setting(0.1, "matrices only; vectors and scalars are never decayed")
    betas: tuple[Fraction, Fraction] = setting((0.9, 0.98), "Adam's")
    warmup: Share = setting(0.05, "share of all steps")
    schedule: Literal["cosine", "linear", "constant", "cooldown"] = setting(
        "cosine", "after the warm-up: falling as named, or constant, at last falling linearly for `cooldown`, or to the end"
    )
    cooldown: Share = setting(0.2, "share of all steps in which schedule: cooldown falls")
    final_lr: Share = setting(0.0, "share of the peak that a falling schedule ends at")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = setting(
        1.0, "factor from each block of a tower to the one before it, of the backbone's rate; 1 = the same for all"
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = setting(
        None, "decay per step of an average of the weights, which is validated and saved, e.g. 0.999; null = no average"
    )
    # 0 would leave no gradient
    clip_norm: Annotated[float, Field(ge=1e-12)] | None = setting(
        1.0, "largest norm of the whole gradient; null = not clipped"
    )
    bf16_weights: bool = setting(
        False,
        "with precision: bf16, the backbone's matrices and their gradients in bf16, too; the optimizer steps copies in fp32",
    )
    patch_dropout: Fraction = setting(
        0.0, "share of each photo's patches, drawn at each step, that the image tower does not see (FLIP); less time a step"
    )
    new_only: Share = setting(0.0, "first stage: share of all steps in which only the new parameters learn (paper: 0.2)")
    image_layers: Natural | None = setting(
        None,
        "train only the last groups of the image tower: 1 = its projection, 2 = the last block, too; 0 = frozen, null = all",
    )
    text_layers: Natural | None = setting(
        None, "the same for the text tower; of one of transformers, blocks are counted, and its projection always learns"
    )
    image_lora: Count | None = setting(
        None,
        "rank of what the frozen image tower's matrices learn on top (LoRA), merged into them when saved; null = none",
    )
    text_lora: Count | None = setting(None, "the same for the text tower")

    def __post_init__(self) -> None:
        for tower in ("image", "text"):
            if getattr(self, f"{tower}_lora") is not None and getattr(self, f"{tower}_layers") is not None:
                raise InputError(f"optim.{tower}_lora freezes the tower that optim.{tower}_layers trains a part of; give one")


@settings
class DataConfig:
    """Data to read."""

    data: str = setting("boutique", "the catalogue: a SPEC, as for --data")
    more: dict[str, Annotated[float, Field(gt=0, le=1000)]] = setting(
        {},
        "further catalogues to train on, of the same columns: SPEC -> times an epoch that each of their products is shown",
    )
    tags: tuple[str, ...] = setting((), "entities that training uses")
    tag_columns: dict[str, str] = setting({}, "entity -> column, where they differ")
    image_column: str = setting("image", "column with the photos")
    caption_column: str = setting("caption", "column with the descriptions")
    id_column: str = setting("product_id", "column with the product ids")
    delimiter: str | None = setting(None, "between the cells of csv and tsv; null = detected")
    encoding: str | None = setting(None, "of csv, tsv and jsonl; null = detected")
    missing_values: tuple[str, ...] | None = setting(None, 'words for "nothing"; null = NA, None, nan, ... in csv and tsv')
    text: Literal["caption", "full", "mixed"] = setting(
        "caption", "of a product: its description, tags too, or descriptions and short lists of tags by turns"
    )
    on_bad_row: Literal["error", "skip"] = setting("error", "stop at unusable rows, or leave them out and count them")
    augment: Literal["none", "light", "strong"] | None = setting(
        None, "of the photos; null = light, but none where a cache keeps one view"
    )
    decoder: Literal["pillow", "torchvision", "nvjpeg"] = setting(
        "pillow",
        "of JPEGs in augmented views: torchvision reads those up to about 1,000 pixels wide faster, to the same pixels, and "
        "leaves larger ones to Pillow, which shrinks them while it decodes; nvjpeg makes the whole views on the GPU",
    )
    batch_size: Count = setting(128, "products a step, over all processes")
    replacement: bool = setting(
        False, "draw each product of a batch among all of its catalogue, as streams are resampled; false = each once a turn"
    )
    chunk_size: Count | None = setting(None, "products encoded at a time; the gradients stay those of the whole batch")
    workers: Natural = setting(2, "processes that decode and augment photos")
    views: Count | None = setting(
        None,
        "views of each photo, shown by turns and the same for all seeds; null = a fresh one each epoch, a cache: one",
    )
    cache: str | None = setting(None, "folder for the outputs of frozen layers, so that they run once")
    shard_cache: Positive | None = setting(
        None,
        "GB that copies of remote tar shards may take: those read longest ago are removed, and turns go through shards that "
        "don't all fit a few at a time; null = all are kept",
    )

    second: str | None = setting(
        None,
        "a second catalogue, of the same columns, measured beside val (its val split, else its last); it chooses nothing",
    )

    def __post_init__(self) -> None:
        if self.data in self.more:
            raise InputError(f"data.more names {self.data} again; name each catalogue once")
        if len(set(self.tags)) < len(self.tags):
            raise InputError(f"data.tags {', '.join(self.tags)}: name each entity once")

    @property
    def fixed_views(self) -> int | None:
        """Number of views of each photo; None = a fresh one each epoch."""
        return 1 if self.views is None and self.cache is not None else self.views

    @property
    def augmentation(self) -> str:
        """Augmentation of the photos; a single kept view is that of evaluation, which can then read it, too."""
        plain = self.cache is not None and self.views is None
        return self.augment or ("none" if plain else "light")

    @property
    def measured_text(self) -> Literal["caption", "full"]:
        """The kind of text that validation searches by."""
        return "caption" if self.text == "mixed" else self.text


@settings
class TrainConfig:
    """One training run."""

    method: Literal["clip", "multifield", "clip-pooled", "multifield-pooled", "filip", "clip-lite", "ei-clip", "e2"] = setting(
        "e2", "which features meet which texts"
    )
    preset: Literal["default", "paper", "clip-b16-openai", "siglip2-b16"] = setting(
        "default", "a starting point of all settings; anything may be overridden"
    )
    backbone: str = setting("e2-nano", "open_clip's name, one of ours, local-dir:, hf-hub:, transformers: or pair:")
    pretrained: str | None = setting(None, "open_clip's tag, a local file or a folder with weights")
    image_size: Count | tuple[Count, Count] | None = setting(None, "pixels, or height and width; null = the backbone's own")
    epochs: Positive | None = setting(None, f"length of the run; one of epochs and steps; null = {EPOCHS}, without steps")
    steps: Count | None = setting(None, "length of the run")
    eval_every: Count | None = setting(None, "steps between evaluations on val; null = once an epoch")
    save_every: Count | None = setting(None, "steps between resumable states; null = at each evaluation")
    keep_every: Count | None = setting(
        None, "steps between weights that are kept beside the best and the last, as step-N.safetensors; null = none"
    )
    patience: Count | None = setting(None, "stop after this many evaluations without a better SumR")
    wise_ft: Share | None = setting(
        None, "share of the trained weights in what is saved, the rest is the start model's; null = all"
    )
    seed: Seed = setting(0, "of weights, order, augmentation and noise")
    precision: Literal["fp32", "bf16", "fp16"] = setting("fp32", "of the forward pass; fp16 needs a GPU")
    tf32: bool = setting(False, "matrix products of fp32 in TF32 on a GPU that has it: faster, 10 bits of mantissa")
    channels_last: bool = setting(
        False, "convolutions in the order of memory that GPUs prefer; their other layers have no such choice"
    )
    checkpointing: bool = setting(
        False, "compute the blocks' activations again for the gradient instead of keeping them: less memory, more time"
    )
    compile: bool = setting(
        False, "the image tower's blocks, by torch.compile: minutes before the first step, for less time a step on a GPU"
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "auto = a GPU where there is one")
    trackers: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow"], ...] = setting(
        ("tensorboard",), "programs that get what log.csv gets; wandb offline, unless WANDB_MODE says otherwise"
    )
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if self.optim.patch_dropout and self.data.cache is not None:
            raise InputError("optim.patch_dropout draws other patches each step than data.cache keeps; leave one of them out")
        if self.optim.bf16_weights and self.precision != "bf16":
            raise InputError("optim.bf16_weights needs --precision bf16, which computes with them")
        if not self.starts_pretrained:
            if self.wise_ft is not None:
                raise InputError("wise_ft goes back to pre-trained weights: name them by --pretrained")
            if self.loss.distill_weight:
                raise InputError("loss.distill_weight holds on to pre-trained weights: name them by --pretrained")

    @property
    def starts_pretrained(self) -> bool:
        """True if the backbone has weights to begin with."""
        return self.pretrained is not None or ":" in self.backbone
