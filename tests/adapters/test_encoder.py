"""The encoder interface over small real models: shapes, order, text cut, truncation count, loading by name."""

import io
import json

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import e2
from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.encoder_parts import TEACH_IMAGES, TEACH_REGIONS
from e2.checkpoint import save_config, save_weights
from e2.errors import InputError
from e2.methods import METHODS, method_class

TEXTS = ["a red dress", "shirt", "a long dress of blue silk with a belt " * 3, "shoes", "word " * 90, "bag!"]


def photo(number: int) -> Image.Image:
    noise = np.random.default_rng(number).integers(0, 255, (40, 30 + number, 3), dtype=np.uint8)
    return Image.fromarray(noise)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("open_clip:e2-nano", device="cpu", batch_size=4, workers=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    folder.mkdir()
    torch.manual_seed(1)
    model, _, _ = e2.create_model_and_transforms("e2-nano", tags=("brand", "season"))
    save_weights(model, folder)
    save_config(folder, backbone="e2-nano", model=model, method="e2", training={})
    return folder


def test_images_from_pil_bytes_and_paths_keep_their_order(encoder, tmp_path):
    photos = [photo(number) for number in range(11)]  # more than two batches: worker processes
    file = io.BytesIO()
    photos[3].save(file, "PNG")
    photos[7].save(tmp_path / "7.png")
    mixed = [*photos[:3], file.getvalue(), *photos[4:7], tmp_path / "7.png", *photos[8:]]
    vectors = encoder.encode_images(mixed, progress=False)
    pixels = torch.stack([encoder.preprocess(image) for image in photos])
    with torch.inference_mode():
        expected = F.normalize(encoder.model.encode_image(pixels), dim=-1).numpy()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_texts_equal_the_plain_model_at_full_length_whatever_their_order(encoder):
    plain = encoder.model.clip
    with torch.inference_mode():
        expected = F.normalize(plain.encode_text(encoder.tokenizer(TEXTS)), dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS[::-1]), expected[::-1], atol=1e-5)


def test_truncated_counts_texts_that_lose_a_token(encoder):
    fits = "word " * 75  # with start and end token, CLIP's 77
    assert encoder.truncated([fits, fits + "word", "short", "! " * 80, "! " * 75]) == 2


def test_lower_precision_stays_close_and_gives_float32(encoder):
    low = load_encoder("open_clip:e2-nano", device="cpu", precision="bf16")
    vectors = low.encode_texts(TEXTS)
    assert vectors.dtype == np.float32
    assert (vectors * encoder.encode_texts(TEXTS)).sum(axis=1).min() > 0.999


def test_a_random_model_is_the_same_each_time_and_says_what_it_is(encoder):
    before = torch.get_rng_state()
    again = load_encoder("open_clip:e2-nano", device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    assert again.info == encoder.info
    assert again.info["weights"] == "random, seed 0" and again.info["path"] == "open_clip:e2-nano"


def test_weights_from_a_file(tmp_path, encoder):
    torch.manual_seed(5)
    path = tmp_path / "weights.pt"
    model = open_clip.create_model("e2-nano")
    torch.save(model.state_dict(), path)
    loaded = load_encoder(f"open_clip:e2-nano/{path}", device="cpu")
    assert torch.equal(loaded.model.clip.visual.proj, model.visual.proj)
    assert loaded.info["weights"] == str(path)
    assert loaded.info["weights_sha256"] != encoder.info["weights_sha256"]


def test_a_siglip_from_a_folder_encodes_photos_and_texts(siglip):
    """SentencePiece and a text tower that looks at padding: nothing is cut, whatever the batch."""
    loaded = load_encoder(f"local-dir:{siglip}", device="cpu", batch_size=2, workers=0)
    assert loaded.info["weights"] == f"local-dir:{siglip}" and not loaded.tags
    with torch.inference_mode():
        expected = F.normalize(loaded.model.clip.encode_text(loaded.tokenizer(TEXTS)), dim=-1).numpy()
    np.testing.assert_allclose(loaded.encode_texts(TEXTS), expected, atol=1e-5)
    assert loaded.encode_images([photo(1), photo(2)]).shape == (2, 32)
    assert loaded.truncated(TEXTS) == 2


def test_a_folder_with_a_configuration_alone_is_a_random_model_and_says_so(siglip, tmp_path):
    for name in ("open_clip_config.json", "spiece.model", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((siglip / name).read_bytes())
    assert load_encoder(f"local-dir:{tmp_path}", device="cpu").info["weights"] == "random, seed 0"


def test_a_checkpoint_brings_its_tags_regions_selections_and_provenance(checkpoint):
    mine = load_encoder(checkpoint, device="cpu", batch_size=2)
    config = json.loads((checkpoint / "config.json").read_text())
    assert mine.tags == ("brand", "season") and mine.info["method"] == "e2"
    assert (mine.info["path"], mine.info["backbone"]) == (str(checkpoint), config["backbone"])
    assert mine.info["weights_sha256"] == e2.checkpoint.weights_sha256(checkpoint)
    photos = [photo(number) for number in range(3)]
    regions = mine.encode_regions(photos)
    both = mine.encode_images_and_regions(photos)
    assert np.array_equal(both[0], mine.encode_images(photos)) and np.array_equal(both[1], regions)
    assert regions.shape == (3, 2, mine.encode_images(photos).shape[1])
    np.testing.assert_allclose(np.linalg.norm(regions, axis=-1), 1, atol=1e-6)
    for weights in mine.selections(photos)["season"].values():
        assert weights.shape[:2] == (3, 2)
        np.testing.assert_allclose(weights.sum(axis=(2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "tags", "taught"),
    [
        ("e2", ("brand",), ("brand",)),
        ("multifield", (), ("brand",)),
        ("multifield-pooled", (), ("brand",)),
        ("clip-pooled", (), ()),
        ("clip", (), ()),
    ],
)
def test_regions_and_taught_tags_are_those_of_the_method(tiny, tmp_path, method, tags, taught):
    """The pooled controls have tokens by the tags' names, but no tag taught their regions."""
    own = ("brand",) if method_class(method).uses_tokens else ()
    model, _, _ = e2.create_model_and_transforms(tiny, tags=own)
    save_weights(model, tmp_path)
    training = {"data": {"tags": ["brand"]}, "loss": {"centre_tags": True}}
    save_config(tmp_path, backbone=tiny, model=model, method=method, training=training)
    encoder = load_encoder(tmp_path, device="cpu", workers=0)
    assert (encoder.tags, encoder.taught, encoder.selects) == (tags, taught, bool(tags))
    if not tags:
        with pytest.raises(InputError, match="has no regions"):
            encoder.encode_regions([photo(1)])


def test_methods_that_teach_tags_are_all_known():
    assert set(TEACH_REGIONS + TEACH_IMAGES) == {name for name in METHODS if method_class(name).uses_tags}


@pytest.mark.parametrize("count", [2, 30])  # in this process, in workers
def test_a_bad_image_is_one_clear_line(encoder, count):
    with pytest.raises(InputError, match="it is not an image") as error:
        encoder.encode_images([*[photo(0)] * count, b"not an image"], progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-32", "no encoder 'ViT-B-32': give an E2 checkpoint folder .*, open_clip:MODEL"),
        ("open_clip:ViT-Z", "unknown backbone 'ViT-Z'"),
        ("open_clip:ViT-B32", "e2-tiny, ViT-B-32, "),
        ("local-dir:nowhere", "cannot get backbone local-dir:nowhere"),
        ("transformers:nowhere", "nowhere holds no CLIP or SigLIP of transformers"),
        ("open_clip:ViT-B-32/mine", "neither a file nor a weights tag of ViT-B-32"),
    ],
)
def test_unknown_names_are_refused_with_what_is_allowed(name, message):
    with pytest.raises(InputError, match=message):
        load_encoder(name)


def test_other_wrong_use_is_named(encoder, tmp_path):
    with pytest.raises(InputError, match="not an E2 checkpoint"):
        load_encoder(tmp_path)
    with pytest.raises(InputError, match="choose one of fp32, bf16, fp16"):
        load_encoder("open_clip:e2-nano", precision="int8")
    with pytest.raises(InputError, match="choose cpu, cuda or auto"):
        load_encoder("open_clip:e2-nano", device="quantum")
    with pytest.raises(InputError, match="has no regions"):
        encoder.encode_regions([photo(0)])
    for nothing in (lambda: encoder.encode_images([]), lambda: encoder.encode_texts([])):
        with pytest.raises(InputError, match="to encode"):
            nothing()
