"""Captioners end to end on a tiny shop: fit, resume, load, caption, write; and everything a user may get wrong."""

import csv
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel
from typer.testing import CliRunner

import e2
from e2.adapters.captioning import fit_captioner, load_captioner
from e2.adapters.captioning import training as training_module
from e2.adapters.captioning.captioner import Captioner
from e2.adapters.captioning.command import caption_app
from e2.adapters.captioning.embeddings import embed_photos
from e2.adapters.captioning.files import read_captions
from e2.adapters.captioning.sweep import nltk_scores, sweep_variances
from e2.adapters.captioning.write import CataloguePhotos, FolderPhotos, PhotoToCaption, write_captions
from e2.adapters.encoder import load_encoder
from e2.checkpoint import save_config, save_weights
from e2.data import Subset, open_catalogue
from e2.errors import InputError, TrainingStopped

TAGS = ("brand", "season", "colour")
SMALL = {"width": 32, "layers": 2, "heads": 2, "vocabulary": 120, "batch_size": 16, "max_tokens": 16, "progress": False}
TEXTS = [
    f"a {colour} {kind}" for colour in ("red", "blue", "green", "grey") for kind in ("tee", "shirt", "dress", "bag", "hat")
]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    before = os.environ.get("E2_CACHE")
    os.environ["E2_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("E2_CACHE") if before is None else os.environ.update(E2_CACHE=before)


@pytest.fixture(scope="module")
def encoder_folder(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders") / "mine"
    folder.mkdir()
    torch.manual_seed(1)
    model, _, _ = e2.create_model_and_transforms(tiny, tags=TAGS)
    save_weights(model, folder)
    save_config(folder, backbone=tiny, model=model, method="e2", training={})
    return folder


@pytest.fixture(scope="module")
def encoder(encoder_folder):
    return load_encoder(encoder_folder, device="cpu", workers=1)


@pytest.fixture(scope="module")
def other_encoder(tiny):
    return load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)


@pytest.fixture(scope="module")
def catalogue(shop):
    return open_catalogue(str(shop), "train", tags=TAGS)


@pytest.fixture(scope="module")
def decap(encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("captioners") / "decap"
    fit_captioner("decap", encoder, TEXTS, out, **{**SMALL, "steps": 30, "lr": 5e-3, "dropout": 0.0})
    return out


class RandomVectors:
    """An encoder of texts that lie far apart, as an untrained one's do not."""

    tags, precision, device = (), "fp32", torch.device("cpu")
    info = {"path": "random vectors", "weights_sha256": "0" * 64}

    def encode_texts(self, texts, progress=True):
        seeds = [zlib.crc32(text.encode()) for text in texts]
        vectors = np.stack([np.random.default_rng(seed).normal(size=32) for seed in seeds]).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def photos_of(catalogue, count=7):
    return [catalogue[row].images[0] for row in range(count)]


@pytest.mark.parametrize("method", ["decap", "capdec"])
def test_a_captioner_learns_its_texts_by_heart(method, tmp_path):
    options = {**SMALL, "steps": 300, "lr": 4e-3, "dropout": 0.0, "memory_precision": "fp32"}
    options |= {"variance": 0.001} if method == "capdec" else {"temperature": 0.05}
    captioner = fit_captioner(method, RandomVectors(), TEXTS, tmp_path / "c", **options)
    written = captioner.caption_features(captioner.encoder.encode_texts(TEXTS))
    held_out = sum(a != b for a, b in zip(written, TEXTS, strict=True))
    assert held_out <= 2  # a text or two are held out, and learned nothing of
    assert captioner.training["history"][-1]["loss"] < 2


def test_a_captioner_loads_as_it_was_with_the_encoder_it_names(decap, encoder):
    captioner = load_captioner(decap)
    assert captioner.info["encoder"]["weights_sha256"] == encoder.info["weights_sha256"]
    assert captioner.training["texts"] == 20
    assert captioner.memory.dtype == torch.float16 and captioner.memory.shape == (20, 16)
    assert not (decap / "training").exists()


def test_options_of_decoding_reach_the_decoder(decap, encoder, catalogue):
    captioner, photos = load_captioner(decap, encoder), photos_of(catalogue)
    greedy = captioner.caption(photos, progress=False)
    assert captioner.caption(photos, progress=False, beam=1) == greedy
    short = captioner.caption(photos, progress=False, max_tokens=1)
    assert all(g.startswith(s) and len(s) < len(g) for g, s in zip(greedy, short, strict=True))
    features = encoder.encode_images(photos, progress=False)
    how = captioner.decoding(beam=4)
    choices = [[captioner.tokenizer.decode(h.ids) for h in found] for found in captioner.hypotheses(features, [{}] * 7, how)]
    reranked = captioner.caption(photos, progress=False, beam=4, rerank=True)
    for texts, chosen, image in zip(choices, reranked, features, strict=True):
        assert chosen == texts[int(np.argmax(encoder.encode_texts(texts) @ image))]
    with pytest.raises(InputError, match="decoding.beam must be at least 1, got 0"):
        captioner.caption(photos, beam=0)
    with pytest.raises(InputError, match="unknown setting beems"):
        captioner.caption(photos, beems=3)


def test_length_and_beginning_of_captions(decap, encoder, catalogue):
    captioner, photos = load_captioner(decap, encoder), photos_of(catalogue)
    for search in ({}, {"beam": 3}):
        captions = captioner.caption(photos, progress=False, min_words=2, max_words=4, begin="the blue", **search)
        assert all(text.startswith("the blue") and 2 <= len(text.split()) <= 4 for text in captions)
        assert all(len(t.split()) == 1 for t in captioner.caption(photos, progress=False, max_words=1, **search))
        assert all(len(t.split()) >= 6 for t in captioner.caption(photos, progress=False, min_words=6, **search))


@pytest.mark.parametrize("tokenizer", ["sentencepiece", "clip"])
def test_words_are_told_apart_as_people_do(tokenizer, tmp_path):
    settings = {"tokenizer": tokenizer, "steps": 1}
    captioner = fit_captioner("decap", RandomVectors(), TEXTS, tmp_path / "c", **{**SMALL, **settings})
    marks = captioner.tokenizer.word_marks()
    for text in [*TEXTS, "a t-shirt, navy-blue; 100 % cotton."]:
        words = sum(token in marks.counted for token in captioner.tokenizer.encode(text))
        if tokenizer == "sentencepiece" or text in TEXTS:  # CLIP's table ends a word before each mark
            assert words == len(text.split())


@pytest.mark.parametrize("method", ["decap", "capdec"])
def test_pairs_teach_what_each_photo_is_called(method, encoder, catalogue, tmp_path, monkeypatch):
    few = Subset(catalogue, range(12))
    options = {**SMALL, "steps": 250, "lr": 5e-3, "dropout": 0.0, "paired": True, "validation_size": 1, "vocabulary": 200}
    fit_captioner(method, encoder, few, tmp_path / "c", **options)
    again = load_captioner(tmp_path / "c", encoder)
    assert again.memory is None and again.info["paired"] and again.training["photos_lost"] == 0
    written = again.caption(photos_of(few, 12), progress=False)
    told = [" ".join(few[row].captions[0].split()) for row in range(12)]
    assert sum(a == b for a, b in zip(written, told, strict=True)) >= 5  # an encoder of random weights hardly tells them apart
    with pytest.raises(InputError, match="other settings .pairs, texts|other settings .texts"):
        fit_captioner(method, encoder, Subset(catalogue, range(13)), tmp_path / "c", resume=True, **options)


def test_a_fit_on_pairs_that_cannot_be(encoder, catalogue, tmp_path):
    for method, texts, options, said in (
        ("nearest", catalogue, {}, "nearest learns nothing"),
        ("decap", TEXTS, {}, "a list of texts has no photos"),
        ("capdec", catalogue, {"calibration": "image-gap"}, "leave them out"),
    ):
        with pytest.raises(InputError, match=said):
            fit_captioner(method, encoder, texts, tmp_path / "c", paired=True, **{**SMALL, **options})
        assert not (tmp_path / "c").exists()


class Spoilt(Sequence):
    """A catalogue some of whose photos are broken."""

    def __init__(self, catalogue, broken):
        self.catalogue, self.broken = catalogue, broken
        self.name, self.split, self.tags = catalogue.name, catalogue.split, catalogue.tags

    def __len__(self):
        return len(self.catalogue)

    def __getitem__(self, row):
        product = self.catalogue[row]
        return replace(product, images=[b"no photo"]) if row in self.broken else product


def test_pairs_are_embedded_once_and_broken_photos_left_out(encoder, catalogue, tmp_path, monkeypatch):
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("e2.adapters.captioning.embeddings.PHOTOS", 4)
    few = Spoilt(Subset(catalogue, range(10)), {1, 4, 5, 6, 7})
    vectors = embed_photos(encoder, few, 16, progress=False)
    whole = encoder.encode_images([catalogue[row].images[0] for row in range(10)], progress=False)
    good = [0, 2, 3, 8, 9]
    np.testing.assert_allclose(vectors[good], whole[good], atol=1e-5)
    assert np.isnan(vectors[[1, 4, 5, 6, 7]]).all()
    monkeypatch.setattr(type(encoder), "encode_images", None)  # all is at hand
    np.testing.assert_array_equal(embed_photos(encoder, few, 16, progress=False), vectors)
    monkeypatch.undo()
    fitted = fit_captioner("decap", encoder, few, tmp_path / "c", **{**SMALL, "steps": 2, "paired": True})
    assert fitted.training["photos_lost"] == 5
    with pytest.raises(InputError, match="fewer than two texts with a readable photo"):
        fit_captioner("decap", encoder, Spoilt(few, range(10)), tmp_path / "d", **{**SMALL, "steps": 2, "paired": True})


def test_a_product_import_of_shopify(decap, encoder, catalogue, tmp_path, monkeypatch):
    hostile = '=1+1 <b>tom & "jerry"</b>, it\'s\nnew'
    monkeypatch.setattr(Captioner, "caption_features", lambda self, features, *_, **__: [hostile] * len(features))
    products = [catalogue[row] for row in range(4)]
    photo = products[0].images[0]
    products[1] = replace(products[1], images=[b"bad", photo, photo])  # its first photo is broken
    products[2] = replace(products[2], images=[b"bad"])
    products[3] = replace(products[3], tags={**products[3].tags, "title": "Red, tee"})
    out = tmp_path / "import.csv"
    counts = write_captions(load_captioner(decap, encoder), Listed(products), out, form="shopify", progress=False)
    assert counts == {"photos": 6, "errors": 2, "products": 3}
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines(keepends=True)))
    assert [row["Handle"] for row in rows] == [products[row].product_id for row in (0, 1, 3)]
    assert [row["Title"] for row in rows] == ["", "", "Red, tee"]
    bodies = {row["Body (HTML)"] for row in rows}
    assert bodies == {'<p>=1+1 &lt;b&gt;tom &amp; "jerry"&lt;/b&gt;, it\'s\nnew</p>'}
    write_captions(load_captioner(decap, encoder), Listed(products[:3]), tmp_path / "b.csv", form="shopify", progress=False)
    assert (tmp_path / "b.csv").read_text().startswith("Handle,Body (HTML)\n")
    with pytest.raises(InputError, match="writes products by their handles"):
        write_captions(load_captioner(decap, encoder), FolderPhotos(tmp_path), tmp_path / "c.csv", form="shopify")


def test_write_holds_captions_to_the_tags_of_the_catalogue(decap, shop, catalogue, tmp_path, monkeypatch):
    stated = "Nike silk coat by Puma"
    monkeypatch.setattr(
        Captioner, "caption_features", lambda self, features, *_, **__: [stated] * len(features)
    )  # as it is then

    def write(out, *options):
        line = ["write", "--captioner", decap, "--data", shop, "--split", "train", "--out", tmp_path / out, "--workers", "0"]
        result = CliRunner().invoke(caption_app, [*map(str, line), *options], catch_exceptions=False)
        assert result.exit_code == 0
        return result

    tags = ("--tags", "brand,season,colour")
    write("own.csv", *tags, "--format", "shopify")
    rows = list(csv.DictReader((tmp_path / "own.csv").read_text().splitlines()))
    products = [catalogue[row] for row in range(len(catalogue))]
    assert [row["Handle"] for row in rows] == [product.product_id for product in products]
    for row, product in zip(rows, products, strict=True):
        named = [brand for brand in ("nike", "puma") if brand in row["Body (HTML)"].lower()]
        assert set(named) <= {product.tags.get("brand", "").lower()}
    write("free.jsonl", *tags, "--facts", "free")
    assert set(read_captions(tmp_path / "free.jsonl").captions.values()) == {stated}
    assert "note: no tags to hold captions to" in write("none.jsonl").stderr
    assert set(read_captions(tmp_path / "none.jsonl").captions.values()) == {stated}
    stated = "Swoosh coat"  # a name that the rules give to Nike
    (tmp_path / "tags.yaml").write_text("brand: {column: brand, values: {Nike: [swoosh], Puma: []}}")
    write("rules.jsonl", "--tags", str(tmp_path / "tags.yaml"))
    for product in products:
        caption = read_captions(tmp_path / "rules.jsonl").captions[product.product_id]
        assert caption == {"Nike": stated, "Puma": "Puma coat"}.get(product.tags.get("brand"), "Coat")


class Listed(CataloguePhotos):
    """Photos of a list of products."""

    def __init__(self, products):
        self.catalogue = products
        self.images = [(row, i) for row, product in enumerate(products) for i in range(len(product.images))]

    def fingerprint(self):
        return "a list"


def test_nearest_gives_the_text_of_the_highest_cosine(encoder, catalogue, tmp_path):
    fit_captioner("nearest", encoder, TEXTS, tmp_path / "nearest", memory_precision="fp32")
    captioner, photos = load_captioner(tmp_path / "nearest", encoder), photos_of(catalogue)
    similarity = encoder.encode_images(photos, progress=False) @ encoder.encode_texts(TEXTS).T
    assert captioner.caption(photos, progress=False) == [TEXTS[row] for row in similarity.argmax(axis=1)]


@pytest.mark.parametrize("method", ["decap", "capdec"])
@pytest.mark.parametrize("prompt", ["tags", "entities"])
def test_prompts_name_tags_read_off_the_photo(method, prompt, encoder, catalogue, shop, tmp_path):
    val = open_catalogue(str(shop), "val", tags=TAGS)
    options = {**SMALL, "steps": 3, "prompt": prompt, "text": "full"}
    captioner = fit_captioner(method, encoder, catalogue, tmp_path / "a", photos=val, **options)
    assert set(captioner.tag_reader.thresholds) == set(TAGS)
    again, photos = load_captioner(tmp_path / "a", encoder), photos_of(catalogue)
    assert again.caption(photos, progress=False) == captioner.caption(photos, progress=False)
    features = encoder.encode_images(photos, progress=False)
    regions = encoder.encode_regions(photos, progress=False)
    read = again.read_tags(features, regions)
    assert again.caption_features(features, regions) == again.caption_features(features, tags=read)
    rows = np.arange(4)
    _, tokens, labels = examples_of(again, catalogue).batch(rows, None)
    for row in rows:  # the prompt stands before the caption and is not learned
        text = again.tokenizer.decode(
            [t for t, label in zip(tokens[row].tolist(), labels[row].tolist(), strict=True) if label < 0]
        )
        assert all(value in text for value in catalogue[int(row)].tags.values())


def examples_of(captioner, catalogue):
    from e2.adapters.captioning.corpus import corpus_of_catalogue

    corpus = corpus_of_catalogue(catalogue, captioner.config.text, captioner.tag_reader.vocabulary)
    ids, ends, _ = training_module.tokenized(corpus.texts, captioner.tokenizer, captioner.config.max_tokens)
    embeddings = np.zeros((len(corpus.texts), 16), np.float32)
    return training_module.Examples(corpus, embeddings, corpus.rows, ids, ends, captioner.tokenizer, captioner.config)


@pytest.mark.parametrize("calibration", ["like-texts", "image-gap"])
def test_capdec_noise_from_the_data(calibration, encoder, catalogue, tmp_path):
    options = {**SMALL, "steps": 2, "calibration": calibration, "modality_offset": calibration == "image-gap"}
    try:
        captioner = fit_captioner("capdec", encoder, catalogue, tmp_path / "c", photos=catalogue, **options)
        assert captioner.training["variance"] > 0
    except InputError as error:  # an untrained encoder may place photos opposite to their texts
        assert calibration == "image-gap" and "does not match" in str(error)


def test_capdec_from_a_pretrained_folder_with_the_language_model_frozen(encoder, tmp_path):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(TEXTS, vocab_size=300, special_tokens=["<|endoftext|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<|endoftext|>")
    config = GPT2Config(vocab_size=len(fast), n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    before = GPT2LMHeadModel(config)
    before.save_pretrained(tmp_path / "gpt2")
    fast.save_pretrained(tmp_path / "gpt2")
    options = {"language_model": str(tmp_path / "gpt2"), "tune_language_model": False, "steps": 3, "max_tokens": 16}
    fit_captioner("capdec", encoder, TEXTS, tmp_path / "c", progress=False, **options)
    shutil.rmtree(tmp_path / "gpt2")  # the captioner stands on its own
    after = load_captioner(tmp_path / "c", encoder)
    assert torch.equal(after.model.language_model.wte.weight, before.transformer.wte.weight)
    assert len(after.caption_features(encoder.encode_texts(TEXTS[:3]))) == 3
    with pytest.raises(InputError, match="no tokenizer|no language model"):
        fit_captioner("capdec", encoder, TEXTS, tmp_path / "d", language_model=str(tmp_path / "absent"))


@pytest.mark.usefixtures("two_threads")
def test_a_stopped_fit_goes_on_to_the_same_weights(encoder, tmp_path, monkeypatch):
    options = {**SMALL, "steps": 8}
    fit_captioner("capdec", encoder, TEXTS, tmp_path / "whole", **options)
    saves = training_module.save_state

    def save_and_die(out, model, optimizer, reached, config):
        saves(out, model, optimizer, reached, config)
        raise KeyboardInterrupt

    monkeypatch.setattr(training_module, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(training_module, "save_state", save_and_die)
    for steps in range(1, 4):  # killed after each of the first three steps
        with pytest.raises(KeyboardInterrupt):
            fit_captioner("capdec", encoder, TEXTS, tmp_path / "parts", resume=steps > 1, **options)
    monkeypatch.setattr(training_module, "save_state", saves)
    with pytest.raises(InputError, match="unfinished captioner"):
        fit_captioner("capdec", encoder, TEXTS, tmp_path / "parts", **options)
    with pytest.raises(InputError, match="other settings .lr."):
        fit_captioner("capdec", encoder, TEXTS, tmp_path / "parts", resume=True, **options, lr=0.1)
    for texts in (TEXTS[:-1], TEXTS[::-1], [*TEXTS[:-1], "another text"]):
        with pytest.raises(InputError, match="(?s)^(?!.*\n).*other settings .texts"):
            fit_captioner("capdec", encoder, texts, tmp_path / "parts", resume=True, **options)
    fit_captioner("capdec", encoder, TEXTS, tmp_path / "parts", resume=True, **options)
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_stopped_fit_is_gone_on_with_by_the_photos_it_was_calibrated_on(encoder, catalogue, tmp_path, monkeypatch):
    options = {**SMALL, "steps": 2, "prompt": "tags", "text": "full"}
    fit = {"method": "capdec", "encoder": encoder, "texts": catalogue, "out": tmp_path / "c"}
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("e2.adapters.captioning.fit.write_captioner", lambda *_: 1 / 0)
        fit_captioner(**fit, photos=Subset(catalogue, range(8)), **options)
    for photos in (Subset(catalogue, range(7)), Subset(catalogue, range(1, 9)), None):
        with pytest.raises(InputError, match=r"(?s)^(?!.*\n).*other settings \(photos\)"):
            fit_captioner(**fit, photos=photos, resume=True, **options)
    fit_captioner(**fit, photos=Subset(catalogue, range(8)), resume=True, **options)


@pytest.mark.parametrize("method", ["decap", "capdec", "nearest"])
def test_a_finished_fit_is_resumed_as_it_is(method, encoder, other_encoder, catalogue, tmp_path):
    options = {**SMALL, "steps": 2, "photos": Subset(catalogue, range(8)), "prompt": "none" if method == "nearest" else "tags"}
    first = fit_captioner(method, encoder, catalogue, tmp_path / "c", **options)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "c").iterdir()}
    again = fit_captioner(method, encoder, catalogue, tmp_path / "c", resume=True, **options)
    assert (again.training, again.info) == (first.training, first.info)
    others = {
        "batch_size": {"options": options | {"batch_size": 8}},
        "texts": {"catalogue": Subset(catalogue, range(20))},
        "was made with": {"encoder": other_encoder},
    }
    if method != "nearest":
        others["photos"] = {"options": options | {"photos": Subset(catalogue, range(7))}}
    for said, other in others.items():
        given = {"encoder": encoder, "catalogue": catalogue, "options": options} | other
        with pytest.raises(InputError, match=said):
            fit_captioner(method, given["encoder"], given["catalogue"], tmp_path / "c", resume=True, **given["options"])
    with pytest.raises(InputError, match="holds a finished captioner already; continue with --resume, replace it by"):
        fit_captioner(method, encoder, catalogue, tmp_path / "c", **options)
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (tmp_path / "c").iterdir()}


def test_what_a_killed_fit_left_is_no_foreign_file(encoder, tmp_path, monkeypatch):
    def killed(**names):
        tempfile.mkdtemp(**names)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("e2.adapters.captioning.fit.tempfile.TemporaryDirectory", killed)
        fit_captioner("nearest", encoder, TEXTS, tmp_path / "out", progress=False)
    assert any((tmp_path / "out").glob(".finished*"))
    fit_captioner("nearest", encoder, TEXTS, tmp_path / "out", overwrite=True, progress=False)


def test_a_training_that_explodes_is_stopped(encoder, tmp_path):
    with pytest.raises(TrainingStopped, match="loss .* is|gradient is not finite"):
        fit_captioner("decap", encoder, TEXTS, tmp_path / "x", **{**SMALL, "steps": 60, "lr": 1e30, "clip_norm": 1e30})


def test_another_encoder_and_damaged_folders_are_refused(decap, encoder, other_encoder, encoder_folder, tmp_path):
    with pytest.raises(InputError, match="was made with"):
        load_captioner(decap, other_encoder)
    with pytest.raises(InputError, match="is not a captioner"):
        load_captioner(tmp_path)
    with pytest.raises(InputError, match="is not a captioner"):
        load_captioner(encoder_folder, encoder)
    for name, content in (("model.safetensors", b"x"), ("config.json", b"{"), ("tokenizer.model", None)):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(decap, tmp_path / "copy")
        (tmp_path / "copy" / name).unlink()
        if content is not None:
            (tmp_path / "copy" / name).write_bytes(content)
        with pytest.raises(InputError, match="damaged|missing"):
            load_captioner(tmp_path / "copy", encoder)


@pytest.fixture
def folder(tmp_path, catalogue):
    """Nine photos in two folders, one of them cut off, one a text, and what else lies among photos."""
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    for number, photo in enumerate(photos_of(catalogue, 9)):
        (photos / ("more" if number % 2 else "") / f"{number}.jpg").write_bytes(photo)
    (photos / "4.jpg").write_bytes((photos / "4.jpg").read_bytes()[:300])
    (photos / "broken.png").write_text("no image")
    (photos / "notes.txt").write_text("no photo")
    (photos / "2.jpg").rename(photos / "two")  # no ending, or one that few know
    (photos / "6.jpg").rename(photos / "six.jfif")
    return photos


def test_writing_names_bad_photos_and_goes_on(decap, encoder, folder, tmp_path, monkeypatch):
    captioner, out = load_captioner(decap, encoder), tmp_path / "out" / "captions.jsonl"
    counts = write_captions(captioner, FolderPhotos(folder), out, progress=False)
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert counts == {"photos": 11, "errors": 3, "products": 8}
    assert [r["image"] for r in records] == [photo.names["image"] for photo in FolderPhotos(folder)]
    errors = {r["image"]: r["error"] for r in records if "error" in r}
    assert (
        errors.keys() == {"4.jpg", "broken.png", "notes.txt"}
        and errors["broken.png"] == "it is not an image of a known format"
    )
    good = [r for r in records if "caption" in r]
    alone = captioner.caption([folder / r["image"] for r in good], progress=False)
    assert [r["caption"] for r in good] == alone
    with pytest.raises(InputError, match="exists"):
        write_captions(captioner, FolderPhotos(folder), out, progress=False)


def test_a_stopped_writing_goes_on_where_it_was(decap, encoder, folder, tmp_path, monkeypatch):
    captioner, out = load_captioner(decap, encoder), tmp_path / "captions.jsonl"
    whole = tmp_path / "whole.jsonl"
    write_captions(captioner, FolderPhotos(folder), whole, progress=False)
    monkeypatch.setattr("e2.adapters.captioning.write.CHUNK", 3)

    class Interrupted(FolderPhotos):
        def __getitem__(self, row: int) -> PhotoToCaption:
            if row == 7:
                raise KeyboardInterrupt
            return super().__getitem__(row)

    with pytest.raises(KeyboardInterrupt):
        write_captions(captioner, Interrupted(folder), out, progress=False)
    part = tmp_path / "captions.jsonl.part"
    assert len(part.read_text().splitlines()) == 7  # the head and two chunks
    with open(part, "a") as file:
        file.write('{"image": "torn')
    with pytest.raises(InputError, match="of an unfinished run"):
        write_captions(captioner, FolderPhotos(folder), out, progress=False)
    with pytest.raises(InputError, match="other photos, options"):
        write_captions(captioner, FolderPhotos(folder), out, resume=True, progress=False, beam=2)
    stopped = part.read_bytes()
    for number, change in enumerate((Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.rename(f"{path}x"))):
        others = shutil.copytree(folder, tmp_path / f"others{number}")
        change(max(others.glob("*.png")))  # one that the stopped run had not come to
        with pytest.raises(InputError, match="other photos, options"):
            write_captions(captioner, FolderPhotos(others), out, resume=True, progress=False)
        assert part.read_bytes() == stopped
    write_captions(captioner, FolderPhotos(folder), out, resume=True, progress=False)
    assert out.read_text() == whole.read_text() and not part.exists()


def test_a_writing_of_a_catalogue_is_not_gone_on_with_by_another(decap, encoder, catalogue, tmp_path, monkeypatch):
    captioner, out = load_captioner(decap, encoder), tmp_path / "captions.jsonl"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("e2.adapters.captioning.write._finish", lambda *_: 1 / 0)
        write_captions(captioner, CataloguePhotos(Subset(catalogue, range(4))), out, progress=False)
    for rows in (range(5), range(3), range(1, 5), [3, 2, 1, 0]):
        with pytest.raises(InputError, match="other photos, options"):
            write_captions(captioner, CataloguePhotos(Subset(catalogue, rows)), out, resume=True, progress=False)
    write_captions(captioner, CataloguePhotos(Subset(catalogue, range(4))), out, resume=True, progress=False)
    assert list(read_captions(out).captions) == [catalogue[row].product_id for row in range(4)]


@pytest.mark.parametrize("damage", [b"\xff\x00 no head\n", b"[1]\n", b"another program's", None])
def test_a_damaged_part_is_told_in_one_line(decap, encoder, folder, tmp_path, damage):
    captioner, out = load_captioner(decap, encoder), tmp_path / "captions.jsonl"
    part = tmp_path / "captions.jsonl.part"
    if damage is None:  # a whole head, and garbage after it
        write_captions(captioner, FolderPhotos(folder), out, progress=False)
        head = {"captioner": captioner.info["weights_sha256"]}
        damage = json.dumps(head).encode() + b"\n\x00\x00\n"
        out.unlink()
    part.write_bytes(damage)
    with pytest.raises(InputError, match="is damaged in line|is of other photos|was not written by e2"):
        write_captions(captioner, FolderPhotos(folder), out, resume=True, progress=False)
    assert part.read_bytes() == damage


@pytest.mark.parametrize("name", ["captions.jsonl", "captions.csv"])
def test_writing_replaces_no_file_beside_its_own(decap, encoder, catalogue, tmp_path, name):
    others = [tmp_path / f"{name}{ending}" for ending in (".part.whole", ".part.table.csv", ".tmp")]
    for other in others:
        other.write_text("another program's")
    captioner, photos = load_captioner(decap, encoder), CataloguePhotos(Subset(catalogue, range(2)))
    write_captions(captioner, photos, tmp_path / name, progress=False)
    assert len(read_captions(tmp_path / name).captions) == 2
    assert [other.read_text() for other in others] == ["another program's"] * 3


def test_what_a_killed_writing_left_among_the_photos_is_no_photo(decap, encoder, folder, monkeypatch):
    captioner, out = load_captioner(decap, encoder), folder / "captions.csv"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("e2.adapters.captioning.write.write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        write_captions(captioner, FolderPhotos(folder, out), out, progress=False)
    (folder / ".captions.csv.x1.tmp.csv").write_text("half")  # of a process that could not clean up
    assert write_captions(captioner, FolderPhotos(folder, out), out, resume=True, progress=False)["photos"] == 11


def test_names_of_any_bytes_and_our_own_files_in_the_folder(decap, encoder, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 30), "red").save(photos / "a.png")
    name = os.fsdecode(b"jupe_\xe9t\xe9.png")
    try:
        (photos / "a.png").rename(photos / name)
    except OSError:
        pytest.skip("this file system has no names but UTF-8")
    out = photos / "captions.csv"
    captioner = load_captioner(decap, encoder)
    for _ in range(2):  # the second time captions.csv lies there
        write_captions(captioner, FolderPhotos(photos, out), out, overwrite=True, progress=False)
        found = read_captions(out)
        assert list(found.captions) == ["jupe_\\xe9t\\xe9.png"] and not found.failed
    assert out.read_text(encoding="utf-8").startswith("image,caption")


def test_embeddings_that_are_not_finite_are_refused(decap, encoder):
    captioner = load_captioner(decap, encoder)
    features = np.full((3, 16), 0.25, np.float32)
    features[1, 2] = np.nan
    with pytest.raises(InputError, match="embeddings of 1 of 3 photos are not finite"):
        captioner.caption_features(features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"length_penalty": float("inf")}, "decoding.length_penalty must be finite, got inf"),
        ({"temperature": float("nan")}, "temperature"),
        ({"beam": "many"}, "'many' is not a whole number"),
        ({"colour": 1}, "unknown setting colour"),
    ],
)
def test_decoding_options_are_checked(options, message, decap, encoder):
    with pytest.raises(InputError, match=message):
        load_captioner(decap, encoder).decoding(**options)


def run(*arguments: object):
    return CliRunner().invoke(caption_app, [str(a) for a in arguments])


def test_commands_fit_write_and_sweep(encoder_folder, shop, tmp_path):
    line = ["fit", "--method", "decap", "--encoder", encoder_folder, "--data", shop, "--tags", ",".join(TAGS)]
    line += ["--prompt", "tags", "--vocabulary", 120, "--steps", 2, "--out", tmp_path / "d", "--device", "cpu", "--json"]
    line += [f"--set={key}={value}" for key, value in SMALL.items() if key in ("width", "layers", "heads")]
    fitted = run(*line)
    assert fitted.exit_code == 0, fitted.output
    assert json.loads(fitted.stdout)["method"] == "decap"
    assert run(*line, "--resume").stdout == fitted.stdout
    written = run(
        "write", "--captioner", tmp_path / "d", "--data", shop, "--split", "val", "--out", tmp_path / "c.jsonl", "--json"
    )
    assert written.exit_code == 0, written.output
    records = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [r["product_id"] for r in records] == [f"val-{i}" for i in range(12)]
    assert all({"caption", "tags"} <= set(r) for r in records)


def test_sweep_gives_a_row_per_variance_and_keeps_finished_ones(encoder, catalogue, shop, tmp_path):
    val = open_catalogue(str(shop), "val", tags=TAGS)
    options = {"variances": (0.0, 0.1), "count": 5, "progress": False, **SMALL, "steps": 2}
    rows = sweep_variances(encoder, catalogue, val, tmp_path, **options)
    assert [row["variance"] for row in rows] == [0.0, 0.1] and {"BLEU@1", "BLEU@4", "val_loss"} <= set(rows[0])
    assert rows[0]["noise_cosine"] == 1 and rows[1]["noise_cosine"] == pytest.approx(1 / (1 + 16 * 0.1) ** 0.5)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.safetensors")}
    again = sweep_variances(encoder, catalogue, val, tmp_path, scorer=lambda c, r: {"n": float(len(c))}, **options)
    assert [row["n"] for row in again] == [5, 5]
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/model.safetensors")}
    assert nltk_scores(["A red tee"], [["a red tee"]])["BLEU@1"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no text"),
        (b"\n \n", "holds no text"),
        (b"one line\n", "1 distinct text"),
        (b"same\nsame\n", "1 distinct text"),
        ("caf\u00e9\nbag\n".encode("latin1"), "not UTF-8 near line 1"),
        (None, "cannot read"),
    ],
)
def test_text_files_that_cannot_be_learned_from(content, message, encoder_folder, tmp_path):
    if content is not None:
        (tmp_path / "texts.txt").write_bytes(content)
    arguments = ("--encoder", encoder_folder, "--data", tmp_path / "texts.txt", "--out", tmp_path / "o", "--device", "cpu")
    result = run("fit", "--method", "decap", *arguments)
    assert isinstance(result.exception, InputError) and message in str(result.exception)
    assert "\n" not in str(result.exception) and not (tmp_path / "o").exists()


def test_further_wrong_use_is_one_line(decap, encoder, encoder_folder, other_encoder, tiny, tmp_path, folder):
    with pytest.raises(InputError, match="no vocabulary of 5 pieces"):
        fit_captioner("decap", encoder, TEXTS, tmp_path / "v", **{**SMALL, "vocabulary": 5})
    with pytest.raises(InputError, match="needs the texts' tags"):
        fit_captioner("decap", encoder, TEXTS, tmp_path / "v", prompt="tags")
    with pytest.raises(InputError, match="unknown method"):
        fit_captioner("decup", encoder, TEXTS, tmp_path / "v")
    with pytest.raises(InputError, match="unknown setting colour"):
        fit_captioner("decap", encoder, TEXTS, tmp_path / "v", colour=3)
    with pytest.raises(InputError, match="holds a finished captioner already"):
        fit_captioner("decap", encoder, TEXTS, decap)
    (tmp_path / "none").mkdir()
    write = ("write", "--captioner", decap, "--out", tmp_path / "c.jsonl")
    cases = {
        "holds no image": (*write, "--data", tmp_path / "none"),
        "decoding.beam must be at least 1": (*write, "--data", folder, "--beam", 0),
        "was made with": (*write, "--data", folder, "--encoder", f"open_clip:{tiny}"),
    }
    for message, arguments in cases.items():
        error = run(*arguments).exception
        assert isinstance(error, InputError) and message in str(error) and "\n" not in str(error)
