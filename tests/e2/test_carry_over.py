"""An E2 run as the start of another: what fits is kept, entity by entity; what is not is named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import e2
from e2.checkpoint import save_config, save_weights
from e2.notes import note
from e2.training.run import start_run
from tests.conftest import TAGS


@pytest.fixture(autouse=True)
def notes_anew():
    note.cache_clear()


def make_run(folder, tiny, **options):
    """A checkpoint of which every tensor differs from a fresh model's."""
    torch.manual_seed(5)
    model = e2.create_model_and_transforms(tiny, tags=TAGS, **options)[0]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    folder.mkdir()
    save_weights(model, folder)
    save_config(folder, backbone=tiny, model=model, method="e2", training={})
    return folder


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "first", tiny)


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def regions(model, images=IMAGES):
    return dict(zip(model.tags, model.eval().encode_regions(images).unbind(1), strict=True))


@pytest.mark.parametrize("place", ["", "model.safetensors"])
def test_the_same_tags_give_the_same_model(run, tiny, place, capsys):
    loaded = e2.load(run)[0]
    again = e2.create_model_and_transforms(tiny, str(run / place), tags=TAGS)[0].eval()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in loaded.state_dict().items())
    assert torch.equal(again.encode_image(IMAGES), loaded.encode_image(IMAGES)) and again.goes_on
    assert not capsys.readouterr().err


@pytest.mark.parametrize("reader", ["default", "paper"])
def test_entities_are_kept_by_name_in_any_order(tmp_path, tiny, reader, capsys):
    run = make_run(tmp_path / "run", tiny, reader=reader, slips=False)
    old = load_file(run / "model.safetensors")
    model = e2.create_model_and_transforms(tiny, str(run), tags=("colour", "fabric", "brand"), reader=reader, slips=False)[0]
    new = model.reader.state_dict()
    for entity, row in (("colour", 0), ("brand", 2)):
        was = TAGS.index(entity)
        assert torch.equal(new["tokens"][2 * row : 2 * row + 2], old["reader.tokens"][2 * was : 2 * was + 2])
        assert torch.equal(new["heads"][row], old["reader.heads"][was])
        assert torch.equal(new[f"norms.{row}.weight"], old[f"reader.norms.{was}.weight"])
    assert torch.equal(
        new["fusions.3.query" + (".weight" if reader == "default" else "")],
        model.reader.fusions["3"].state_dict()["query" + (".weight" if reader == "default" else "")],
    )
    assert not torch.equal(new["heads"][1], old["reader.heads"][1])
    said = capsys.readouterr().err
    assert "left out: season" in said and "new: fabric" in said and said.count("note:") == 1


def test_entities_read_as_before_among_others(run, tiny):
    before, after = regions(e2.load(run)[0]), regions(e2.create_model_and_transforms(tiny, str(run), tags=TAGS[::-1])[0])
    for entity in TAGS:
        torch.testing.assert_close(after[entity], before[entity])


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (
            {"tokens": {"brand": 3}},
            "left out for their shape: brand.fusions.3.own_queries, brand.fusions.4.own_queries, brand.tokens",
        ),
        ({"rank": 8}, "fusions."),
        ({"layers": (1,)}, "new: "),
        ({"reader": "paper"}, "model.reader=paper (default)"),
        ({"selector": "hard"}, "model.selector=hard (soft)"),
    ],
)
def test_what_does_not_fit_is_named_once(run, tiny, options, named, capsys):
    for _ in range(2):
        e2.create_model_and_transforms(tiny, str(run), tags=TAGS, **options)
    said = capsys.readouterr().err
    assert named in said and said.count("note: continuing from") == 1


def test_a_model_without_tags_tells_what_it_leaves_out(run, tiny, capsys):
    assert not e2.create_model_and_transforms(tiny, str(run))[0].goes_on
    assert "a model without tags cannot use them: they are left out" in capsys.readouterr().err


def test_tokens_without_a_config_are_told(run, tiny, tmp_path, capsys):
    save_file(load_file(run / "model.safetensors"), tmp_path / "model.safetensors")
    e2.create_model_and_transforms(tiny, str(tmp_path), tags=TAGS)
    assert "holds selection tokens, but no config.json" in capsys.readouterr().err


def test_a_config_of_other_entities_is_damage(run, tiny, tmp_path):
    save_file(load_file(run / "model.safetensors"), tmp_path / "model.safetensors")
    config = json.loads((run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model": {**config["model"], "tags": ["brand"]}}))
    with pytest.raises(e2.InputError, match="do not match the entities"):
        e2.create_model_and_transforms(tiny, str(tmp_path), tags=TAGS)


def test_training_goes_on_where_the_run_ended(run, tiny, shop, tmp_path):
    """At a rate of next to zero it ends as it began, and the start that it holds on to is the whole model."""
    options = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "device": "cpu"}
    options |= {"backbone": tiny, "pretrained": str(run), "steps": 1, "optim.lr": 0.0, "optim.new_lr": 0.0}
    start_run(tmp_path / "on", {**options, "loss.distill_weight": 1.0})
    first, on = e2.load(run)[0], e2.load(tmp_path / "on")[0]
    assert torch.equal(first.encode_image(IMAGES), on.encode_image(IMAGES))
    log = (tmp_path / "on" / "log.csv").read_text().splitlines()
    row = dict(zip(log[0].split(","), log[1].split(","), strict=True))
    assert abs(float(row["distill_loss"])) < 1e-4, row


def test_a_run_of_a_place_goes_on_by_its_name(siglip, tmp_path):
    name = f"local-dir:{siglip}"
    torch.manual_seed(5)
    model = e2.create_model_and_transforms(name, tags=("brand",))[0]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_weights(model, tmp_path)
    save_config(tmp_path, backbone=name, model=model, method="e2", training={}, tokenizer=e2.get_tokenizer(name))
    again = e2.create_model_and_transforms(name, str(tmp_path), tags=("brand",))[0].eval()
    assert torch.equal(again.encode_image(IMAGES), model.eval().encode_image(IMAGES))
    assert torch.equal(e2.get_tokenizer("ViT-B-16-SigLIP", str(tmp_path))(["red"])[:, :16], e2.get_tokenizer(name)(["red"]))
