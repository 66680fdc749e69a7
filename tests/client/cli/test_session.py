"""What every command runs in: exit codes, hints, warnings, timeouts."""

import json
from collections.abc import Callable

import grpc
import pytest
from typer.testing import CliRunner

from striate._cli.main import app
from tests.client.fakes.fakes_server import (
    failure,
    reason,
)
from tests.client.toys_cli import Cli


def test_warnings_are_lines_on_stderr(cli: Cli) -> None:
    cli.fake.warnings = ["outputs are probabilities"]
    result = cli.run("attack", "tiny", *cli.pictures, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["warnings"] == cli.fake.warnings
    assert result.stderr.strip() == "striate: warning: outputs are probabilities"


Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("abort", "code"),
    [
        (failure(Code.INVALID_ARGUMENT, "no", reason("INVALID_FIELD")), 2),
        (failure(Code.NOT_FOUND, "no", reason("MODEL_NOT_FOUND")), 3),
        (failure(Code.FAILED_PRECONDITION, "no", reason("INDEX_NOT_FOUND")), 3),
        (failure(Code.UNAVAILABLE, "no", pushback=-1), 4),
        (failure(Code.DEADLINE_EXCEEDED, "no"), 5),
        (failure(Code.CANCELLED, "no"), 5),
        (failure(Code.RESOURCE_EXHAUSTED, "no", reason("QUEUE_FULL"), pushback=-1), 5),
        (failure(Code.FAILED_PRECONDITION, "no", reason("MODEL_BUSY")), 5),
        (failure(Code.INTERNAL, "no", reason("INTERNAL")), 6),
        (failure(Code.FAILED_PRECONDITION, "no", reason("NOT_FINITE")), 6),
    ],
)
def test_errors_have_exit_codes(
    cli: Cli, abort: Callable[[grpc.ServicerContext], None], code: int
) -> None:
    cli.fake.failures.append(abort)
    result = cli.run("models", "--json")
    assert result.exit_code == code
    assert json.loads(result.stdout)["error"]["message"] == "no"
    assert result.stderr.splitlines()[0] == "striate: no"


def test_an_unreachable_server_is_exit_4() -> None:
    result = CliRunner().invoke(app, ["health", "--server", "127.0.0.1:1"])
    assert (result.exit_code, result.stdout) == (4, "")
    assert "127.0.0.1:1" in result.stderr
    assert "STRIATE_SERVER" in result.stderr


def test_what_to_do_about_a_missing_index_is_told(cli: Cli) -> None:
    cli.fake.failures.append(
        failure(Code.FAILED_PRECONDITION, "there is none", reason("INDEX_NOT_FOUND"))
    )
    result = cli.run("statistics", "tiny", "stem:1", "--dataset", "digits")
    assert result.exit_code == 3
    assert "striate index" in result.stderr


def test_timeout(cli: Cli) -> None:
    left: list[float] = []
    cli.fake.on_call = lambda method, context: left.append(context.time_remaining())
    cli.run("models")
    cli.run("models", "--timeout", 50)
    assert left[0] > 10**6, "no limit"
    assert 0 < left[1] < 60  # gRPC rounds what it sends
