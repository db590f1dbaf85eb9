"""Options of the command line: groups are spread into single options, and the same option is the same everywhere."""

import importlib
import json
from collections import defaultdict
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

from e2.config import EPOCHS, TrainConfig
from e2.options import Commands, EncoderOptions, MeasuredOptions, show
from tests.command import every_command, run_command

COMMANDS = list(every_command())
TABLE = {"image_column", "caption_column", "id_column", "delimiter", "encoding", "missing_values", "on_bad_row"}


def test_groups_are_gathered_from_single_options():
    app, got = Commands(), []

    @app.command()
    def measure(catalogue: MeasuredOptions, loading: EncoderOptions, also: list[str] | None = None) -> None:
        got.append((catalogue, loading, also))

    words = ["--data", "shop.csv", "--delimiter", ";", "--tags", "brand", "--device", "cpu", "--also", "a", "b"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    ((catalogue, loading, also),) = got
    assert (catalogue.data, catalogue.split, catalogue.tags) == ("shop.csv", "test", "brand")
    assert catalogue.table.read("brand")["columns"].delimiter == ";"
    assert (loading.device, loading.batch_size, also) == ("cpu", 64, ["a", "b"])


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_who_reads_tables_takes_all_their_options(name, command):
    names = {option.name for option in command.params}
    assert not names & TABLE or names >= TABLE


def test_an_option_is_of_one_kind_everywhere():
    """A number in one command is not a file in another; one value or several, and a local path or any name, may differ."""
    kinds = defaultdict(set)
    for _, command in COMMANDS:
        for option in command.params:
            kind = option.type_descriptor.annotation
            kinds[option.opts[0]].add(get_args(kind)[0] if get_origin(kind) is list else kind)
    words = {name: {kind for kind in found if kind in (int, float, bool)} for name, found in kinds.items()}
    assert {name: kinds[name] for name, numbers in words.items() if numbers and len(kinds[name]) > 1} == {}


@pytest.mark.parametrize("name", ["train", "study"])
def test_the_help_shows_what_holds_where_a_setting_of_a_training_is_not_given(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    config = TrainConfig()
    shown = " ".join(run_command(name, "--help").out.replace("│\n│    --", "\0--").split())
    lines = {part.split()[0]: part for part in shown.split("\0")}
    for option in ("backbone", "device", "precision", "batch_size", "workers", "text", "image_column", "on_bad_row"):
        value = getattr(config, option, None) or getattr(config.data, option)
        assert f"[default: ({value}" in lines[f"--{option.replace('_', '-')}"]
    assert "paper: 64" in lines["--batch-size"] and f"({EPOCHS}, without steps)" in lines["--epochs"]
    assert "default" not in lines["--tags"] and "default" not in lines["--delimiter"]
    if name == "train":
        assert "(0)" in lines["--seed"] and "(e2)" in lines["--method"] and "(boutique)" in lines["--data"]


CHOICES = {  # command and option: the module whose own list says what there is
    "train --method": ("e2.methods", "METHODS"),
    "train --preset": ("e2.training.presets", "PRESETS"),
    "embed --text": ("e2.data.product", "TEXTS"),
    "embed --precision": ("e2.devices", "PRECISIONS"),
    "data import --to": ("e2.data.export", "FORMATS"),
    "caption fit --method": ("e2.adapters.captioning.config", "CaptionerConfig.method"),
    "caption fit --prompt": ("e2.adapters.captioning.config", "CaptionerConfig.prompt"),
    "caption fit --tokenizer": ("e2.adapters.captioning.config", "CaptionerConfig.tokenizer"),
    "caption fit --mapper": ("e2.adapters.captioning.config", "CaptionerConfig.mapper"),
    "caption fit --calibrate": ("e2.adapters.captioning.config", "CaptionerConfig.calibration"),
    "caption fit --precision": ("e2.adapters.captioning.config", "CaptionerConfig.precision"),
    "caption write --length-unit": ("e2.adapters.captioning.decoding", "Decoding.length_unit"),
    "caption write --facts": ("e2.adapters.captioning.facts", "MODES"),
    "caption write --format": ("e2.adapters.captioning.write", "FORMATS"),
    "compose fit --method": ("e2.adapters.composed.methods", "FITTED"),
    "compose search --method": ("e2.adapters.composed.methods", "METHODS"),
    "compose search --target": ("e2.adapters.search.memory", "TARGETS"),
    "index build --vector-type": ("e2.adapters.search.vector_types", "TYPES"),
    "index search --method": ("e2.adapters.composed.methods", "METHODS"),
    "push --format": ("e2.adapters.export.push", "PUSHED"),
    "export --format": ("e2.adapters.export.writing", "FORMATS"),
    "evaluate retrieval --protocol": ("e2.benchmarks.retrieval.evaluate", "PROTOCOLS"),
    "evaluate retrieval --rule": ("e2.benchmarks.retrieval.candidates", "RULES"),
    "evaluate composed --benchmark": ("e2.benchmarks.composed.tasks", "BENCHMARKS"),
    "evaluate composed --preset": ("e2.adapters.composed.presets", "PRESETS"),
    "evaluate composed --gallery": ("e2.benchmarks.composed.data.fashioniq", "GALLERIES"),
    "evaluate grounding --truth": ("e2.benchmarks.grounding.evaluate", "TRUTHS"),
}


@pytest.mark.parametrize("option", CHOICES)
def test_choices_are_those_that_there_are(option):
    module, name = CHOICES[option]
    command, _, spelled = option.rpartition(" ")
    (found,) = (one for one in dict(COMMANDS)[f"e2 {command}"].params if spelled in one.opts)
    assert {*found.type_descriptor.choices} == {*known(importlib.import_module(module), *name.split("."))}


def known(module, name, setting=None):
    """The choices that a module lists, or those of a setting of its class."""
    if setting is None:
        return getattr(module, name)
    hint = get_type_hints(getattr(module, name))[setting]
    return get_args(hint if get_origin(hint) is Literal else get_args(hint)[0])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evaluate retrieval --model x --data y --protocol half", "--protocol 'half': choose full, first-photo or sample-100"),
        ("embed --model x --data y --out z --on-bad-row maybe", "--on-bad-row 'maybe': choose error or skip"),
        ("train --out x --batch-size many", "'--batch-size': Input should be a valid integer"),
        ("train --out x --ephocs 3", "No such option: --ephocs"),
        ("train --data x", "Missing option '--out'"),
        ("trai --out x", "No such command 'trai'. Did you mean 'train'; see "),
        ("evaluate retreival", "No such command 'retreival'"),
        ("--nonsense", "No such option: --nonsense"),
    ],
)
def test_wrong_use_is_one_line(line, said):
    answer = run_command(*line.split())
    assert answer.status == 2 and said in answer.line and answer.err.count("\n") == 1


def test_a_result_says_where_it_was_written(capsys, tmp_path):
    show({"a": 1}, False, "a line", out=tmp_path)
    assert capsys.readouterr().out == f"a line\nwrote the results to {tmp_path}\n"
    show({"a": 1}, True, "a line", out=tmp_path)
    assert json.loads(capsys.readouterr().out) == {"a": 1}
