"""Options of the command line: groups are spread into single options, and the same option is the same everywhere."""

from collections import defaultdict
from typing import get_args, get_origin

import pytest
from typer.testing import CliRunner

from e2.options import Commands, EncoderOptions, MeasuredOptions
from tests.command import every_command

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
    """A number in one command is no file in another; one value or several, and a local path or any name, may differ."""
    kinds = defaultdict(set)
    for _, command in COMMANDS:
        for option in command.params:
            kind = option.type_descriptor.annotation
            kinds[option.opts[0]].add(get_args(kind)[0] if get_origin(kind) is list else kind)
    words = {name: {kind for kind in found if kind in (int, float, bool)} for name, found in kinds.items()}
    assert {name: kinds[name] for name, numbers in words.items() if numbers and len(kinds[name]) > 1} == {}
