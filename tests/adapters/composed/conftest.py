"""A tiny encoder with random weights, and the shop that it looks at."""

import pytest
import torch

import e2
from e2.adapters.encoder import Encoder, load_encoder
from e2.checkpoint import save_config, save_weights
from e2.data import open_catalogue

TAGS = ("brand", "season", "colour")


@pytest.fixture(scope="session")
def encoder(tiny) -> Encoder:
    return load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)


@pytest.fixture(scope="session")
def checkpoint(tiny, tmp_path_factory):
    """A checkpoint folder of an E2 with regions."""
    folder = tmp_path_factory.mktemp("composed") / "encoder"
    folder.mkdir()
    torch.manual_seed(3)
    model, _, _ = e2.create_model_and_transforms(tiny, tags=TAGS)
    save_weights(model, folder)
    save_config(folder, backbone=tiny, model=model, method="e2", training={})
    return folder


@pytest.fixture(scope="session")
def regional(checkpoint) -> Encoder:
    return load_encoder(checkpoint, device="cpu", workers=0)


@pytest.fixture(scope="session")
def products(shop):
    return open_catalogue(str(shop), "train", tags=TAGS)
