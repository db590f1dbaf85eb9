"""`e2 evaluate composed` as a user meets it."""

import json

import pytest
from typer.testing import CliRunner

from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.methods import fit_composer
from e2.adapters.encoder import load_encoder
from e2.benchmarks.composed.command import composed
from e2.errors import InputError
from e2.options import Commands
from tests.benchmarks.composed.data.test_benchmarks import small_cirr
from tests.command import names_in

TAGS = ("--tags", "brand,colour", "--keep", "colour", "--swap", "brand,colour")


@pytest.fixture(scope="module")
def e2():
    app = Commands()
    app.command()(composed)

    def run(*arguments):
        found = CliRunner().invoke(app, [*map(str, arguments), "--workers", "0", "--device", "cpu"])
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return run


@pytest.fixture(scope="module")
def lincir(tiny, tmp_path_factory):
    """A mapping after two steps, for the tiny backbone."""
    folder = tmp_path_factory.mktemp("composers") / "lincir"
    encoder = load_encoder(f"open_clip:{tiny}", device="cpu", workers=0)
    texts = [f"a {colour} {thing}" for colour in ("red", "blue", "green") for thing in ("tee", "dress", "hat", "bag")]
    fit_composer("lincir", encoder, texts, folder, config=FitConfig(steps=2, batch_size=4), progress=False)
    return folder


def test_methods_with_a_fitted_one_on_a_catalogue(e2, tiny, shop, lincir, tmp_path):
    arguments = ("--model", f"open_clip:{tiny}", "--data", shop, "--split", "val", *TAGS, "--size", 20)
    found = e2(*arguments, "--method", "image", "lincir", "--composer", lincir, "--out", tmp_path, "--examples", 1)
    assert found.exit_code == 0 and "lincir" in found.output and "Paired differences" in found.output
    folders = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/*/metrics.json")}
    assert set(folders) == {"image", "lincir"}
    assert folders["lincir"]["composer"]["method"] == "lincir" and folders["lincir"]["n"] == 20
    assert {name for folder in tmp_path.glob("*/image") for name in names_in(folder)} == {
        "metrics.json",
        "queries.npz",
        "examples.png",
    }
    again = e2(*arguments, "--method", "image", "--queries", tmp_path / "queries.json", "--seed", 0, "--json")
    record = json.loads(again.output)
    assert record["results"][0]["metrics"] == folders["image"]["metrics"]


def test_texts_as_targets(e2, tiny, shop):
    arguments = ("--model", f"open_clip:{tiny}", "--data", shop, "--split", "val", *TAGS, "--wordings", 1)
    record = json.loads(e2(*arguments, "--benchmark", "attribute-drop", "--text", "full", "--json").output)
    assert [result["method"] for result in record["results"]] == ["image", "text", "sum", "slerp"]
    assert record["results"][0]["protocol"] == "attribute-drop, find texts"
    assert [both["method"] for both in record["both_halves_needed"]] == ["sum", "slerp"]
    swaps = json.loads(e2(*arguments, "--target", "text", "--method", "text", "--json").output)
    assert swaps["results"][0]["protocol"] == "attribute-swap, find texts"


def test_a_test_set_with_hidden_answers(e2, tiny, tmp_path):
    images = small_cirr(tmp_path, "test1")
    arguments = ("--model", f"open_clip:{tiny}", "--benchmark", "cirr", "--annotations", tmp_path, "--images", images)
    found = e2(*arguments, "--split", "test1", "--method", "sum", "--out", tmp_path / "out")
    assert found.exit_code == 0 and "2 of 2 queries, 8 of 8 photos" in found.output
    assert {name for folder in (tmp_path / "out").glob("*/sum") for name in names_in(folder)} == {
        "cirr_recall.json",
        "cirr_recall_subset.json",
    }
    with pytest.raises(InputError, match="name a folder for the submission by --out"):
        e2(*arguments, "--split", "test1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name it by --data"),
        (("--benchmark", "fashionista"), "--benchmark 'fashionista': choose attribute-swap"),
        (("--benchmark", "cirr"), "needs --annotations DIR and --images DIR"),
        (("--benchmark", "cirr", "--swap", "colour"), "--swap means nothing to --benchmark cirr"),
        (("--data", "boutique", "--gallery", "original"), "--gallery means nothing to --benchmark attribute-swap"),
        (("--method", "lincir"), None),
    ],
)
def test_wrong_use_is_named(e2, tiny, shop, arguments, message):
    if message is None:
        arguments = (*arguments, "--data", shop, "--split", "val", *TAGS)
        message = "lincir has to be fitted on open_clip:test-tiny first: e2 compose fit"
    with pytest.raises(InputError, match=message):
        e2("--model", f"open_clip:{tiny}", *arguments)


def test_a_composer_of_another_encoder_is_refused(e2, shop, lincir):
    arguments = ("--data", shop, "--split", "val", *TAGS, "--composer", lincir)
    with pytest.raises(InputError, match="for an encoder that is not among --model"):
        e2("--model", "open_clip:e2-nano", *arguments)


def test_methods_know_the_catalogue_as_in_a_search(e2, tiny, shop, tmp_path):
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({f"val-{i}": "a nike tee" for i in range(12)}))
    arguments = ("--model", f"open_clip:{tiny}", "--data", shop, "--split", "val", *TAGS, "--size", 5, "--wordings", 1)
    found = e2(*arguments, "--method", "slots", "cirevl", "--set", f"cirevl.captions={captions}", "--out", tmp_path / "out")
    assert found.exit_code == 0, found.output
    steps = [json.loads(line) for line in (tmp_path / "out/1_open_clip_test-tiny/slots/steps.jsonl").read_text().splitlines()]
    assert len(steps) == 5 and set(steps[0]["changed"]) <= {"brand", "colour"}
    edited = (tmp_path / "out/1_open_clip_test-tiny/cirevl/steps.jsonl").read_text()
    assert "Levi's tee" in edited  # a brand that only the catalogue knows takes the old one's place
