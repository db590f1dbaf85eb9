"""What is made with an encoder finds it again, wherever they are moved, and takes none with other weights."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

import e2
from e2.adapters.captioning import fit_captioner, load_captioner
from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.methods import fit_composer, load_composer
from e2.adapters.composed.reference_captions import captions_of
from e2.adapters.encoder import load_encoder
from e2.adapters.encoder_paths import load_noted
from e2.adapters.search.build import build_index
from e2.adapters.search.index import encoder_of, open_index
from e2.checkpoint import save_config, weights_of
from e2.data import open_catalogue
from e2.errors import InputError

TEXTS = [f"a {colour} {kind}" for colour in ("red", "green", "blue", "grey") for kind in ("tee", "coat", "dress")]


def fit_captions(encoder, shop, out):
    fit_captioner("nearest", encoder, TEXTS, out, progress=False)


def fit_words(encoder, shop, out):
    fit_composer("lincir", encoder, TEXTS, out, config=FitConfig(steps=1, batch_size=4), progress=False)


def fit_slots(encoder, shop, out):
    fit_composer("slots", encoder, open_catalogue(str(shop), "val", tags=["colour"]), out, progress=False)


def index(encoder, shop, out):
    build_index(encoder, open_catalogue(str(shop), "val", tags=["colour"]), out, progress=False)


HOLDERS = {  # what is made with an encoder -> how it is made, how it finds its encoder, how it takes a given one
    "captioner": (fit_captions, lambda path: load_captioner(path).encoder, load_captioner),
    "composer": (fit_words, lambda path: load_composer(path).encoder, load_composer),
    "slots": (fit_slots, lambda path: load_composer(path).encoder, load_composer),
    "index": (index, lambda path: encoder_of(str(path)), open_index),
}


def checkpoint(folder, tiny, seed):
    """An encoder in a folder."""
    torch.manual_seed(seed)
    model = e2.create_model_and_transforms(tiny, tags=("brand", "colour"))[0]
    folder.mkdir(parents=True)
    save_config(folder, backbone=tiny, model=model, method="e2", training={})
    save_file(weights_of(model), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def encoders(tiny, tmp_path_factory):
    base = tmp_path_factory.mktemp("encoders")
    return checkpoint(base / "own", tiny, 0), checkpoint(base / "other", tiny, 1)


@pytest.mark.parametrize("holder", HOLDERS)
def test_an_encoder_is_found_wherever_it_and_what_was_made_with_it_are_moved(holder, encoders, shop, tmp_path, monkeypatch):
    make, found_by, given_to = HOLDERS[holder]
    home, elsewhere, held = tmp_path / "home", tmp_path / "elsewhere", tmp_path / "home" / "held"
    shutil.copytree(encoders[0], home / "mine")
    shutil.copytree(encoders[1], elsewhere / "mine")  # of the same name, with other weights
    monkeypatch.chdir(home)
    make(load_encoder("mine", device="cpu", workers=0), shop, "held")
    weights = found_by("held").info["weights_sha256"]

    monkeypatch.chdir(elsewhere)
    assert found_by(held).info["path"] == str(home / "mine")
    held = held.rename(tmp_path / "held")  # away from its encoder
    assert found_by(held).info["path"] == str(home / "mine")
    home = home.rename(tmp_path / "moved")
    held = held.rename(home / "held")  # both, to another place
    assert found_by(held).info["path"] == str(home / "mine")
    shutil.copytree(encoders[1], tmp_path / "home" / "mine")  # another has taken the former place
    assert found_by(held).info["weights_sha256"] == weights

    apart = (home / "mine").rename(tmp_path / "apart")
    with pytest.raises(InputError, match=r"the encoder of \S*held is not found: .* has other weights .*--encoder"):
        found_by(held)
    given_to(held, load_encoder(apart, device="cpu"))
    with pytest.raises(InputError, match=rf"held was made with mine \({weights[:12]}\), not with \S*other"):
        given_to(held, load_encoder(encoders[1], device="cpu"))


def test_an_encoder_at_hand_is_taken_for_a_captioner(encoders, shop, tmp_path):
    (own, other), held = (load_encoder(folder, device="cpu", workers=0) for folder in encoders), tmp_path / "held"
    fit_captioner("nearest", own, TEXTS, held, progress=False)
    assert load_captioner(held, among=[other, own]).encoder is own
    assert load_captioner(held, among=[other]).encoder is not other
    assert captions_of(held, own).captioner.encoder is own


@pytest.mark.parametrize("places", [None, "mine", [], [7, None], {"a": 1}], ids=str)
def test_damaged_places_are_one_line(places, encoders, tmp_path):
    with pytest.raises(InputError, match="the encoder of held is not found"):
        load_noted({"places": places}, tmp_path, "held")
