"""Fitting mappings, storing them, and inverting images: on a tiny encoder, checked against plain computations."""

import json

import numpy as np
import pytest
import torch

from e2.adapters.composed import References, fit_composer, lincir, load_composer, make_composer
from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.injection import NOWHERE, encode_text_with_tokens
from e2.adapters.composed.keywords import keyword_spans, with_word
from e2.adapters.composed.lincir import masked_captions, with_noise
from e2.adapters.composed.oti import OtiConfig, invert_images
from e2.adapters.composed.phrases import phrase_book, phrases_from_captions, phrases_from_file
from e2.adapters.composed.pseudo_word import encode_prompts, mapping_input
from e2.errors import InputError
from tests.conftest import jpeg

QUICK = FitConfig(steps=20, batch_size=16, evaluations=5, dropout=0.1)
PHRASES = {"red": ["a red tee", "red shoes"], "blue": ["a blue tee in a shop"], "green": ["green grass", "a green bag"]}


def photos(count):
    return [jpeg(((i * 40) % 255, 90, 200 - i), i) for i in range(count)]


@pytest.mark.parametrize(
    ("text", "keywords", "masked"),
    [
        ("A red tee with a hood", ["A red tee", "a hood"], "$ with $"),
        ("Nike Men's Blue T-Shirt", ["Nike Men's Blue T-Shirt"], "a photo of $"),
        ("It is blue, with long sleeves.", ["blue", "long sleeves"], "It is $ , with $ ."),
        ("it is", [], "a photo of $ that it is"),
        ("the", [], "a photo of $ that the"),
    ],
)
def test_keywords(text, keywords, masked):
    assert [text[start:end] for start, end in keyword_spans(text)] == keywords
    assert with_word(text, "$") == masked


def test_captions_that_lose_their_keywords_at_the_end_still_have_a_place(encoder):
    prompts = masked_captions(encoder, ["a red dress with a belt", "it is " * 80 + "blue"])
    assert ((prompts.positions != NOWHERE).sum(dim=1) >= 1).all()
    assert prompts.positions[1, 0] == 4  # "a photo of <word>"


def test_captions_masked_in_parts_are_as_masked_at_once(encoder, monkeypatch):
    texts = [f"{'red ' * (i % 9)}bag with a belt" + " and laces" * (i % 3) for i in range(20)]
    whole = masked_captions(encoder, texts)
    monkeypatch.setattr(lincir, "PART", 3)
    parts = masked_captions(encoder, texts)
    torch.testing.assert_close(parts.tokens, whole.tokens)
    torch.testing.assert_close(parts.positions, whole.positions)


def test_noise_is_scaled_per_row():
    noise = with_noise(torch.zeros(4000, 64), torch.Generator().manual_seed(0)).norm(dim=1) / 8
    assert 0.45 < float(noise.mean()) < 0.55 and float(noise.max()) < 1.3  # u of U(0, 1) times a vector of length 8


def test_mapping_input_is_raw_or_of_unit_elements():
    x = torch.randn(5, 16) * 7
    assert mapping_input(x, "raw") is x
    torch.testing.assert_close(mapping_input(x, "unit").norm(dim=1), torch.full((5,), 4.0))
    with pytest.raises(InputError, match="choose one of unit, raw"):
        mapping_input(x, "length")


def test_prompts_are_encoded_as_one_by_one_in_any_order(encoder):
    parts = [("a photo of ", f" that is {'red ' * i}") for i in (5, 1, 9, 0)]
    words = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    together = encode_prompts(encoder, parts, words)
    for row in range(4):
        np.testing.assert_allclose(
            encode_prompts(encoder, parts[row : row + 1], words[row : row + 1])[0], together[row], atol=1e-5
        )


@pytest.mark.parametrize("name", ["lincir", "pic2word", "searle"])
def test_a_fitted_mapping_learns_comes_back_and_refuses_another_encoder(name, encoder, regional, products, tmp_path):
    before = {key: value.clone() for key, value in regional.model.state_dict().items()}
    options = {"oti": OtiConfig(steps=3), "phrases": PHRASES} if name == "searle" else {}
    fitted = fit_composer(name, regional, products, tmp_path / "out", config=QUICK, progress=False, **options)
    record = json.loads((tmp_path / "out" / "composer.json").read_text())
    curve = [loss for _, loss in record["training"]["curve"]]
    assert curve[-1] < curve[0] or name == "pic2word"  # photos of four colours: one batch holds equal ones
    assert record["training"]["held_out_loss"] == min(curve)
    assert record["encoder"]["weights_sha256"] == regional.info["weights_sha256"]
    norms = np.linalg.norm(regional.encode_images(photos(8), normalize=False), axis=1)
    assert record["input"] == "unit" and 0.2 * norms.mean() < record["feature_norm"] < 5 * norms.mean()
    for key, value in regional.model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert all(p.requires_grad for p in regional.model.parameters())

    wishes = ["in red", "with a $ and a *", "is long"]
    vectors = fitted.compose(photos(3), wishes)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    again = load_composer(tmp_path / "out")  # finds its encoder by itself
    np.testing.assert_allclose(again.compose(photos(3), wishes), vectors, atol=1e-6)
    assert make_composer(name, regional, path=tmp_path / "out").info["composer"] == str(tmp_path / "out")
    with pytest.raises(InputError, match="was made with .* fit one for it by e2 compose fit"):
        load_composer(tmp_path / "out", encoder)
    with pytest.raises(InputError, match="holds a finished composer already"):
        fit_composer(name, regional, products, tmp_path / "out", config=QUICK)


def test_composed_queries_are_the_prompts_with_the_mapped_word(regional, products, tmp_path):
    composer = fit_composer(
        "lincir", regional, ["a red tee with a hood"] * 2 + ["blue bag"] * 2 + ["x y z"], tmp_path / "l", config=QUICK
    )
    references = References(regional, photos(2))
    word = composer.pseudo_words(references)
    tokens = regional.tokenizer(["a photo of dog that is red"] * 2)
    with torch.no_grad():
        expected = encode_text_with_tokens(regional.text_tower, tokens, torch.tensor([4, 4]), word).numpy()
    found = composer.composed(references, ["is red", "is red"])
    np.testing.assert_allclose(found.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)
    assert found.steps[0] == {"prompt": "a photo of <photo> that is red"}


def test_fitting_is_reproducible_and_stops_early(regional, tmp_path):
    texts = [f"a {c} {g} number {i}" for i, (c, g) in enumerate([("red", "tee"), ("blue", "bag")] * 12)]
    runs = [fit_composer("lincir", regional, texts, tmp_path / str(i), config=QUICK, progress=False) for i in range(2)]
    for one, two in zip(runs[0].mapping.parameters(), runs[1].mapping.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    config = FitConfig(steps=200, batch_size=8, evaluations=50, patience=2, lr=1.0, dropout=0.0)
    fit_composer("lincir", regional, texts, tmp_path / "wild", config=config, progress=False)
    assert json.loads((tmp_path / "wild" / "composer.json").read_text())["training"]["steps"] < 200


def test_a_batch_of_images_is_inverted_as_one_by_one(encoder):
    book = phrase_book(encoder, PHRASES)
    features = encoder.encode_images(photos(5), normalize=False)
    config = OtiConfig(steps=6, batch_size=4)
    together = invert_images(encoder, features, book, config)
    single = torch.cat([invert_images(encoder, features[i : i + 1], book, config, first=i) for i in range(5)])
    torch.testing.assert_close(together, single, atol=2e-4, rtol=0)
    assert (together[0] - together[1]).abs().max() > 1e-3


def test_inversion_brings_the_word_towards_the_photo(encoder):
    book = phrase_book(encoder, PHRASES)
    features = encoder.encode_images(photos(3), normalize=False)
    cosines = []
    for steps in (1, 60):
        words = invert_images(encoder, features, book, OtiConfig(steps=steps))
        texts = encode_prompts(encoder, [("a photo of a ", "")] * 3, words)
        cosines.append(np.sum(texts * features, 1) / np.linalg.norm(texts, axis=1) / np.linalg.norm(features, axis=1))
    assert (cosines[1] > cosines[0] + 0.02).all()


def test_oti_at_query_time(encoder):
    composer = make_composer("searle-oti", encoder, phrases=PHRASES)
    composer.oti = OtiConfig(steps=2)
    assert composer.compose(photos(2), ["red", "blue"]).shape == (2, 16)
    with pytest.raises(InputError, match="has no place for a pseudo-word; choose pic2word, searle"):
        make_composer("searle-oti", encoder, phrases=PHRASES, preset="bare")


def test_phrase_sources(encoder, tmp_path):
    found = phrases_from_captions(["a red tee", "blue tee", "Red shoe"], ["red", "tee", "hat"])
    assert found == {"red": ["a red tee", "Red shoe"], "tee": ["a red tee", "blue tee"]}
    path = tmp_path / "phrases.json"
    for content, message in (
        ('{"red": ["a blue tee"]}', "lacks its concept 'red'"),
        ("{}", "holds no phrase"),
        ("[1]", "is not a phrase file"),
        ('{"red"', "is not a phrase file"),
        ("[" * 100_000, "is not a phrase file"),
        ('{"red": ["a red tee"], "red": ["red shoe"]}', "names 'red' twice"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            phrases_from_file(path)
    path.write_text(json.dumps(PHRASES))
    assert phrases_from_file(path) == PHRASES
    book = phrase_book(encoder, PHRASES)
    np.testing.assert_allclose(book.concept_features.norm(dim=1).numpy(), 1, atol=1e-5)
    assert [book.draw(2, number) for number in (0.0, 0.49, 0.5, 0.99)] == [3, 3, 4, 4]
    with pytest.raises(InputError, match="no concept phrases"):
        phrase_book(encoder, {"red": []})


def test_bad_fits_and_damaged_folders_are_one_line(regional, products, tmp_path):
    for call, message in (
        (lambda: fit_composer("lincir", regional, ["one text"], tmp_path / "a"), "on 1 example; give two or more"),
        (lambda: fit_composer("lincir", regional, [], tmp_path / "a"), "on 0 example"),
        (lambda: fit_composer("pic2word", regional, ["a", "b"], tmp_path / "a"), "pic2word is fitted on a catalogue"),
        (lambda: fit_composer("sum", regional, products, tmp_path / "a"), "sum is not fitted; choose lincir, pic2word"),
        (lambda: FitConfig(steps=0), "steps must be at least 1, got 0"),
        (lambda: FitConfig(held_out=1.5), "held_out must be below 1"),
        (lambda: load_composer(tmp_path), "is not a fitted composer"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert not (tmp_path / "a").exists()
    fit_composer("lincir", regional, products, tmp_path / "b", config=FitConfig(steps=2, evaluations=1), progress=False)
    weights = tmp_path / "b" / "mapping.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged"):
        load_composer(tmp_path / "b", regional)
    (tmp_path / "b" / "composer.json").write_text('{"format": 1')
    with pytest.raises(InputError, match="damaged or was not written by e2 compose fit"):
        load_composer(tmp_path / "b", regional)
