"""CIReVL and slot filling: every step visible, and the query the text that the steps say."""

import json

import numpy as np
import pytest

from e2.adapters.composed import References, fit_composer, load_composer, make_composer
from e2.adapters.composed.cirevl import CIReVL
from e2.adapters.composed.language_model import LanguageModel
from e2.adapters.composed.phrases import phrases_from_model
from e2.adapters.composed.sources import rewriter_of, vocabulary_of
from e2.adapters.tag_reader import TagReader
from e2.errors import InputError
from tests.conftest import jpeg


@pytest.fixture
def files(tmp_path):
    """Two photos on disk and their captions."""
    for name, colour in (("one", (200, 0, 0)), ("two", (0, 0, 200))):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(colour, 1))
    (tmp_path / "captions.json").write_text(json.dumps({"one": "a red dress", "two.jpg": "a blue shirt with a hood"}))
    return tmp_path


def test_cirevl_searches_with_the_rewritten_caption(encoder, files):
    composer = make_composer("cirevl", encoder, captions=str(files / "captions.json"))
    references = References(encoder, [files / "one.jpg", str(files / "two.jpg")])
    found = composer.composed(references, ["is green", "without the hood"])
    assert [step["rewritten"] for step in found.steps] == ["a green dress", "a blue shirt"]
    assert found.steps[0] == {"caption": "a red dress", "wish": "is green", "rewritten": "a green dress"}
    np.testing.assert_allclose(found.vectors, encoder.encode_texts(["a green dress", "a blue shirt"]), atol=1e-6)
    assert composer.info["rewriter"] == "rules"


def test_json_lines_by_product_id_serve_references_with_names(encoder, files):
    class Named(list):
        names = ("77",)

    path = files / "captions.jsonl"
    path.write_text('{"product_id": "77", "caption": "a red dress"}\n{"product_id": "78", "error": "broken"}\n')
    composer = make_composer("cirevl", encoder, captions=path)
    assert (
        composer.composed(References(encoder, Named([jpeg((1, 2, 3), 0)])), ["in blue"]).steps[0]["rewritten"]
        == "a blue dress"
    )
    with pytest.raises(InputError, match="has no caption for a photo without a name"):
        composer.compose([jpeg((1, 2, 3), 0)], ["in blue"])
    with pytest.raises(InputError, match="no captions in nowhere"):
        make_composer("cirevl", encoder, captions="nowhere")
    path.write_text("{")
    with pytest.raises(InputError, match="line 1: this is not JSON"):
        make_composer("cirevl", encoder, captions=path)


def test_captions_are_made_once_for_both_caption_orders(encoder):
    class Captions:
        info, calls = {"captions": "test"}, 0

        def captions(self, references):
            self.calls += 1
            return ["a red dress"] * len(references)

    captions = Captions()
    composer = CIReVL(encoder, captions, preset="searle")
    composer.compose([jpeg((1, 2, 3), 0)], [("is blue", "has a hood")])
    assert captions.calls == 1


def test_rewriters_by_name():
    assert rewriter_of("rules", vocabulary={"colour": ["Teal"]}).rewrite(["a red bag"], ["teal"]) == ["a Teal bag"]
    for call, message in (
        (lambda: rewriter_of("gpt"), "unknown rewriter 'gpt'; choose rules"),
        (lambda: rewriter_of("rules", cache="x"), "takes no cache"),
        (lambda: rewriter_of("http://localhost:1/v1"), "it needs model=NAME"),
        (lambda: rewriter_of("http://localhost:1/v1", model="m", colour=1), "colour"),
        (lambda: rewriter_of("transformers:/nowhere/at/all"), "cannot load language model"),
        (lambda: vocabulary_of("nothing.json"), "is not a vocabulary"),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A GPT-2 of a few weights with a tokenizer of a few words, as folders of transformers are."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["a", "red", "blue", "dress", "shirt", "photo", "of", "that", "is", "Caption", "Wish", ":", "New", "caption"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<end>", "<unk>", *words])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("lm")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>").save_pretrained(folder)
    config = GPT2Config(
        vocab_size=len(words) + 2, n_embd=16, n_layer=1, n_head=2, n_positions=256, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


def test_a_local_language_model_rewrites_the_same_each_time_and_batched_as_single(language_model):
    model = LanguageModel(language_model, batch_size=2)
    captions, wishes = ["a red dress", "a blue shirt that is red", "a dress"], ["is blue", "is red", "red"]
    found = model.rewrite(captions, wishes)
    assert found == [model.rewrite([c], [w])[0] for c, w in zip(captions, wishes, strict=True)]
    assert all(each.status in ("rewritten", "kept", "failed") for each in found) and all(found)
    drawn = model.continue_texts(["a photo of dress that"], count=3, new_tokens=8, temperature=1.0, seed=1)
    assert len(drawn[0]) == 3 and drawn == model.continue_texts(
        ["a photo of dress that"], count=3, new_tokens=8, temperature=1.0, seed=1
    )


def test_a_model_that_goes_on_with_markup_gives_no_phrases(monkeypatch):
    said = {"dress": ["flows. And so on", "<think>hm", "flows. Again"], "shirt": ["<|x|>", ""]}
    monkeypatch.setattr(LanguageModel, "__init__", lambda self, name: None)
    monkeypatch.setattr(LanguageModel, "continue_texts", lambda self, starts, **_: [said[s.split()[-2]] for s in starts])
    assert phrases_from_model("m", ["dress", "shirt"]) == {"dress": ["a photo of dress that flows."]}
    with pytest.raises(InputError, match="says nothing usable"):
        phrases_from_model("m", ["shirt"])


VOCABULARY = {"colour": ["red", "green", "blue", "grey"], "season": ["Summer", "Winter"]}


@pytest.mark.parametrize("which", ["encoder", "regional"])
def test_slots_read_change_and_mix(which, request):
    encoder = request.getfixturevalue(which)
    references = References(encoder, [jpeg((200, 10, 10), 1), jpeg((10, 10, 200), 2)])
    composer = make_composer("slots", encoder, vocabulary=VOCABULARY, text_weight=0.4)
    found = composer.composed(references, ["in green instead of red", "something nicer"])
    tags = TagReader(encoder, VOCABULARY).read(references.features, references.regions)
    assert [step["tags"] for step in found.steps] == tags
    assert found.steps[1]["not understood"] == "nicer" and found.rewritings[1].status == "kept"
    assert found.steps[0]["changed"] == {**tags[0], "colour": "green"}
    old = [" ".join(t.values()) for t in tags]
    new = [" ".join({**tags[0], "colour": "green"}.values()), old[1]]
    o, n = encoder.encode_texts(old), encoder.encode_texts(new)
    expected = 0.6 * (references.features + n - o) + 0.4 * n
    np.testing.assert_allclose(found.vectors, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-5)


def test_fitted_slots_keep_vocabulary_and_thresholds_and_refuse_another_encoder(regional, encoder, products, tmp_path):
    fitted = fit_composer("slots", regional, products, tmp_path / "slots")
    again = load_composer(tmp_path / "slots", regional)
    assert again.reader.thresholds == fitted.reader.thresholds and set(again.reader.vocabulary) == {
        "brand",
        "season",
        "colour",
    }
    photo = [jpeg((200, 10, 10), 1)]
    np.testing.assert_allclose(again.compose(photo, ["in blue"]), fitted.compose(photo, ["in blue"]), atol=1e-6)
    assert load_composer(tmp_path / "slots", regional, text_weight=1.0).info["text_weight"] == 1.0
    with pytest.raises(InputError, match="was made with"):
        load_composer(tmp_path / "slots", encoder)


def test_slots_without_any_tag_read_search_by_what_the_wish_adds(encoder):
    composer = make_composer("slots", encoder, vocabulary=VOCABULARY, thresholds={"colour": 2.0, "season": 2.0})
    found = composer.composed(References(encoder, [jpeg((1, 2, 3), 1)]), ["has a hood"])
    assert found.steps == [{"tags": {}, "changed": {}, "text": "hood"}] and np.isfinite(found.vectors).all()
