"""Rebuilds the model that a run starts from, from the run's settings alone."""

import dataclasses

import torch

from e2.config import TrainConfig
from e2.data.decoders import in_workers
from e2.data.transforms import PhotoTransform, training_transform
from e2.factory import create_model_and_transforms
from e2.methods import method_class
from e2.model import E2


def start_model(config: TrainConfig) -> tuple[E2, PhotoTransform, PhotoTransform]:
    """Returns model, training transform and evaluation transform before the first step. Seeds PyTorch."""
    torch.manual_seed(config.seed)
    model, _, val_transform = create_model_and_transforms(
        config.backbone,
        config.pretrained,
        image_size=config.image_size,
        config=dataclasses.replace(config.model, tags=config.data.tags if method_class(config.method).uses_tokens else ()),
    )
    transform = training_transform(model.visual, config.data.augmentation, in_workers(config.data.decoder))
    return model, transform, val_transform
