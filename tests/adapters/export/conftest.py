"""A small trained-looking E2 and a plain CLIP, as checkpoints and as encoders."""

import pytest
import torch

import e2
from e2.adapters.encoder import load_encoder
from e2.adapters.export.writing import export
from e2.checkpoint import save_config, save_weights
from tests.conftest import TAGS


def made_checkpoint(folder, backbone, tags, method):
    """A checkpoint whose weights are random everywhere: nothing, the gates least of all, is at its start."""
    torch.manual_seed(0)
    model, _, _ = e2.create_model_and_transforms(backbone, tags=tags)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    folder.mkdir()
    save_weights(model, folder)
    training = {
        "data": {"data": "/home/me/secret/shop.parquet", "text": "caption", "batch_size": 20},
        "loss": {"region_prompt": "brand: {tag}", "centre_tags": True},
        "epochs": 1.0,
        "seed": 0,
    }
    options = {"method": method, "training": training, "tokenizer": e2.get_tokenizer(backbone)}
    save_config(folder, backbone=backbone, model=model, **options)
    return folder


@pytest.fixture(scope="session")
def e2_checkpoint(tiny, tmp_path_factory):
    return made_checkpoint(tmp_path_factory.mktemp("trained") / "fine", tiny, TAGS, "e2")


@pytest.fixture(scope="session")
def clip_checkpoint(tiny, tmp_path_factory):
    return made_checkpoint(tmp_path_factory.mktemp("trained") / "plain", tiny, (), "clip")


def encoder_of(name):
    return load_encoder(name, device="cpu", workers=0)


@pytest.fixture(scope="session")
def onnx_folder(e2_checkpoint, tmp_path_factory):
    """Both kinds of graphs of the E2."""
    out = tmp_path_factory.mktemp("exports") / "graphs"
    export(encoder_of(e2_checkpoint), out, "onnx", int8=True)
    return out
