"""Makes E2 models, in the manner of ``open_clip.create_model_and_transforms``."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from e2.backbones import create_backbone, create_tokenizer
from e2.carry_over import carry_over, earlier_reader
from e2.config import ModelConfig
from e2.data.transforms import PhotoTransform, training_transform
from e2.defaults import complete_model
from e2.devices import dtype_of, open_device
from e2.errors import InputError, first_line
from e2.model import E2
from e2.settings import merged


def create_model_and_transforms(
    backbone: str,
    pretrained: str | None = None,
    tags: Sequence[str] = (),
    *,
    config: ModelConfig | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    augment: str = "light",
    image_size: int | Sequence[int] | None = None,
    backbone_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[E2, PhotoTransform, PhotoTransform]:
    """Makes a model with E2's selection tokens over an open_clip backbone.

    Args:
        backbone: ``e2-nano``, ``e2-tiny``, ``e2-small``, any open_clip model whose image tower is a ViT, ``local-dir:FOLDER``,
            ``hf-hub:ORG/NAME``, ``transformers:FOLDER`` or ``pair:IMAGE+TEXT``.
        pretrained: an open_clip weights tag, a local file or a folder with weights; None = random weights, or those that
            come with the backbone. Of an E2 run the tokens are kept too, entity by entity; what is not is named on stderr.
        tags: the entities, e.g. ``("brand", "season")``; none = the plain backbone.
        config: settings of what E2 adds; ``tags`` and ``options`` win over it.
        device: cpu, cuda or auto.
        precision: of the weights, fp32, bf16 or fp16; photos are converted to it.
        augment: of the training transform: none, light or strong.
        image_size: pixels, a number or (height, width); None = the backbone's own. Positions are resampled to it.
        backbone_options: passed on to :func:`e2.backbones.create_backbone`, e.g. ``{"force_context_length": 32}``.
        options: fields of :class:`e2.config.ModelConfig`, e.g. ``tokens=4`` or ``selector="soft"``.

    Returns:
        model, training transform, evaluation transform.

    Raises:
        InputError: an unknown name or option, weights that do not fit, or a device that is not there.

    Example:
        >>> model, preprocess_train, preprocess_val = create_model_and_transforms("e2-nano", tags=("brand", "season"))
        >>> model.tags
        ('brand', 'season')
    """
    changes = {"tags": list(dict.fromkeys(tags)), **options} if tags else options
    config = merged(config or ModelConfig(), changes, "model")
    where, dtype = open_device(device), dtype_of(precision)
    inputs: dict[str, Any] = {} if image_size is None else {"force_image_size": checked_size(image_size)}
    clip, preprocess_val = create_backbone(backbone, pretrained, **inputs, **(backbone_options or {}))
    earlier = earlier_reader(pretrained) if pretrained else None
    config = complete_model(config, clip.origin.pretrained, earlier.config if earlier else None)
    try:
        model = E2(clip, config)
    except (RuntimeError, TypeError) as error:  # PyTorch's for sizes beyond memory, or beyond 64 bits
        raise InputError(f"cannot build the model: {first_line(error)}; check model.tokens and model.rank") from error
    if earlier is not None:
        carry_over(earlier, model)
    model.made_from = {"backbone": backbone}
    model.make_tokenizer = partial(get_tokenizer, backbone, pretrained)
    return model.to(where, dtype), training_transform(clip.visual, augment), preprocess_val


def checked_size(size: int | Sequence[int]) -> tuple[int, int]:
    """Checks an input size and returns it as (height, width)."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise InputError(f"image size {size!r} is neither a number of pixels nor (height, width)")
    return pair


def get_tokenizer(backbone: str, pretrained: str | None = None) -> Callable:
    """Makes the tokenizer of a backbone, named as for :func:`create_model_and_transforms`."""
    return create_tokenizer(backbone, pretrained)
