"""The committed recipes: settings that exist, weights that open_clip knows, and a run of each kind at small size."""

from pathlib import Path

import open_clip
import pytest
import yaml
from safetensors.torch import save_file

from e2.benchmarks.studies import general
from e2.config import TrainConfig
from e2.data import fashiongen
from e2.training.run import resolve
from tests.command import run_command

RECIPES = sorted((Path(general.__file__).parent / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_settings_and_weights_exist(recipe):
    config = resolve({}, recipe, ())
    assert isinstance(config, TrainConfig) and config.data.tags == ("composition", "season", "brand", "sub_category")
    assert config.pretrained in open_clip.list_pretrained_tags_by_model(config.backbone)
    assert f"recipes/{recipe.name}" in recipe.read_text()  # its own command lines name it


def test_paper_recipe_is_the_published_budget():
    config = resolve({}, next(path for path in RECIPES if "paper" in path.name), ())
    assert (config.data.batch_size, config.epochs, config.optim.new_only, config.data.text) == (64, 25, 0.2, "full")


@pytest.mark.parametrize("name", ["vit-b-32-openai", "vit-b-32-openai-paper"])
def test_runs_at_small_size_from_saved_weights(name, tiny, tmp_path):
    pytest.importorskip("h5py")
    from tests.e2.data.test_fashiongen import photo_rows, write_h5

    write_h5(tmp_path / "data" / fashiongen.FILES["train"], photo_rows(20))
    write_h5(tmp_path / "data" / fashiongen.FILES["test"], photo_rows(5, first=500))
    model = open_clip.create_model(tiny)
    weights = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), weights)
    recipe = next(path for path in RECIPES if path.stem == name)
    small = (
        "--backbone",
        tiny,
        "--pretrained",
        weights,
        "--epochs",
        1,
        "--batch-size",
        8,
        "--precision",
        "fp32",
        "--workers",
        0,
    )
    answer = run_command(
        *("train", "--config", recipe, "--data", f"fashiongen:{tmp_path / 'data'}", *small, "--workers", 0),
        *("--device", "cpu", "--out", tmp_path / "run"),
    )
    assert answer.status == 0, answer.err
    assert yaml.safe_load((tmp_path / "run" / "config.json").read_text())["start_sha256"]
