"""The command line: JSON alone on stdout, files, and exit codes that scripts can trust."""

import json
from importlib.metadata import EntryPoint

import grpc
import pytest
import typer
from typer.testing import CliRunner

from striate._cli.main import COMMANDS, app, joined
from tests.client.toys_cli import Cli

Code = grpc.StatusCode


@pytest.mark.parametrize(
    "words",
    [
        ["attack", "tiny", "a.png", "--epsilon", "8/0"],
        ["attack", "tiny", "a.png", "--epsilon", "much"],
        ["attack", "tiny", "a.png", "--method", "magic"],
        ["attack", "tiny", "a.png", "--label", "1", "--labels", "1"],
        ["attack", "tiny"],
        ["classify", "tiny", "gone.png"],
        ["operations", "--cancel"],
        ["nonsense"],
    ],
)
def test_wrong_usage_is_exit_2(cli: Cli, words: list[str]) -> None:
    result = cli.run(*words)
    assert result.exit_code == 2
    assert result.stderr
    assert not result.stdout


def test_options_before_the_command_and_in_the_environment(cli: Cli) -> None:
    runner = CliRunner()
    before = runner.invoke(app, ["--server", cli.fake.target, "--json", "models"])
    environment = runner.invoke(app, ["models", "--json"], env={"STRIATE_SERVER": cli.fake.target})
    behind = runner.invoke(
        app, ["--server", "127.0.0.1:1", "models", "--server", cli.fake.target, "--json"]
    )
    for result in (before, environment, behind):
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["models"][0]["name"] == "tiny"


def test_every_command_takes_the_common_options() -> None:
    for name in COMMANDS:
        text = (
            CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        )
        for option in ("--server", "--timeout", "--json"):
            assert option in text, f"{name} lacks {option}"


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == "0.1.0"


def test_a_command_that_is_not_installed_whole_leaves_the_others_alone() -> None:
    command = joined(EntryPoint("far", "no_such_module:far", "striate.commands"))
    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 2
