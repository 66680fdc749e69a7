"""The commands index and operations."""

import warnings
from pathlib import Path

import grpc
import pytest

from striate._api.operation import Operation
from tests.client.fakes.fakes_server import (
    DATASET_SIZE,
    failed,
    finished,
    running,
)
from tests.client.toys_cli import Cli

Code = grpc.StatusCode


def test_index_is_built_and_looked_into(cli: Cli) -> None:
    cli.fake.operation_script.extend([running("operations/1", 64), finished("operations/1")])
    found = cli.json("index", "tiny", "--dataset", "digits", "--layer", "stem", "--layer", "head")
    assert (found["operation"], found["report"]["images"], found["report"]["units"]) == (
        "operations/1",
        DATASET_SIZE,
        2,
    )
    assert list(cli.fake.requests("BuildExemplarIndex")[0].layers) == ["stem", "head"]
    found = cli.json(
        "exemplars", "tiny", "stem:1", "--dataset", "digits", "-k", 2, "--out", cli.folder / "ex"
    )
    assert [exemplar["id"] for exemplar in found["exemplars"]] == [10, 11]
    assert all(Path(file).exists() for file in found["files"])


def test_index_detached(cli: Cli) -> None:
    assert cli.json("index", "tiny", "--dataset", "digits", "--layer", "stem", "--detach") == {
        "operation": "operations/1"
    }
    (shown,) = cli.json("operations")["operations"]
    assert (shown["name"], shown["done"], shown["progress"]["images_done"], shown["error"]) == (
        "operations/1",
        False,
        0,
        None,
    )
    (shown,) = cli.json("operations", "operations/1", "--cancel")["operations"]
    assert (shown["done"], shown["error"]) == (True, "CANCELLED: cancelled by request")


def test_ctrl_c_while_an_index_is_built_cancels_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Operation, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Operation, "wait", interrupted)
    assert cli.run("index", "tiny", "--dataset", "digits", "--layer", "stem").exit_code == 130
    assert cli.fake.requests("CancelOperation")[0].name == "operations/1"


def test_a_failed_operation_fails_the_command(cli: Cli) -> None:
    cli.fake.operation_script.append(
        failed("operations/1", grpc.StatusCode.ABORTED, "the server ended")
    )
    found = cli.json("index", "tiny", "--dataset", "digits", "--layer", "stem", code=5)
    assert found["error"]["code"] == "ABORTED"


def test_the_command_line_sets_an_index(cli: Cli) -> None:
    words = ("index", "tiny", "--dataset", "digits", "--layer", "stem", "--detach")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cli.json(
            *words, "--class-k", 2, "--quantile", "1/4", "--quantile", 0.5, "--shard-images", 64
        )
    request = cli.fake.requests("BuildExemplarIndex")[-1]
    assert (request.class_k, list(request.quantiles), request.shard_images) == (2, [0.25, 0.5], 64)
    cli.json(*words)
    request = cli.fake.requests("BuildExemplarIndex")[-1]
    assert (request.HasField("class_k"), list(request.quantiles), request.shard_images) == (
        False,
        [],
        0,
    )
