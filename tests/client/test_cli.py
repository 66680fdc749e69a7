"""The command line: JSON alone on stdout, files, and exit codes that scripts can trust."""

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from typer.testing import CliRunner

from striate._api.operation import Operation
from striate._cli.main import COMMANDS, app
from tests.client.fakes_server import (
    CLASSES,
    DATASET_SIZE,
    DIGEST,
    adversarial,
    failed,
    failure,
    finished,
    png,
    reason,
    running,
)
from tests.client.toys_cli import Cli

Code = grpc.StatusCode


def test_models_and_layers(cli: Cli) -> None:
    assert [model["name"] for model in cli.json("models")["models"]] == ["tiny"]
    assert [model["name"] for model in cli.json("models", "--available")["models"]] == [
        "tiny",
        "resnet18",
    ]
    assert [layer["name"] for layer in cli.json("layers", "tiny")["layers"]] == ["stem", "head"]
    text = cli.run("layers", "tiny").stdout
    assert "stem" in text
    assert "3x3" in text


def test_load_unload_datasets(cli: Cli) -> None:
    assert cli.json("load", "tiny", "--weights", "random")["model"]["digest"] == DIGEST
    assert cli.fake.requests("LoadModel")[0].weights == "random"
    assert cli.json("unload", "tiny") == {"model": "tiny", "freed_bytes": 880}
    assert cli.json("datasets", "--model", "tiny")["datasets"][0]["class_indices"] == [0, -1]


def test_classify_files_and_folders(cli: Cli) -> None:
    alone = cli.json("classify", "tiny", *cli.pictures, "-k", 2)
    (cli.folder / "notes.txt").write_text("no picture")
    assert cli.json("classify", "tiny", cli.folder, "-k", 2)["images"] == alone["images"]
    assert [image["file"] for image in alone["images"]] == list(map(str, cli.pictures))
    assert [len(image["predictions"]) for image in alone["images"]] == [2] * 4
    assert alone["provenance"]["model_digest"] == DIGEST


def test_visualize(cli: Cli) -> None:
    out = cli.folder / "out"
    found = cli.json(
        "visualize",
        "tiny",
        "stem:0",
        "stem:1@1,2",
        "--steps",
        5,
        "--seed",
        7,
        "--size",
        16,
        "--no-transforms",
        "--out",
        out,
    )
    (request,) = cli.fake.requests("Visualize")
    settings = request.settings
    assert (list(request.objectives), settings.steps, settings.seed, settings.size) == (
        ["stem:0", "stem:1@1,2"],
        5,
        7,
        16,
    )
    assert settings.without_transforms
    files = [Path(item["file"]) for item in found["visualizations"]]
    assert [file.read_bytes() for file in files] == [png(16, 16, 0), png(16, 16, 1)]
    assert {file.parent for file in files} == {out}
    assert [item["dead"] for item in found["visualizations"]] == [False, True]
    cli.json("visualize", "tiny", "stem:0", "--out", cli.folder / "one.png")
    assert (cli.folder / "one.png").read_bytes() == png(4, 5, 0)


def test_filters(cli: Cli) -> None:
    found = cli.json(
        "filters", "tiny", "--layer", "stem", "--scale", "global", "--out", cli.folder / "w.npy"
    )
    assert found["shape"] == [2, 3, 3, 3]
    assert np.load(cli.folder / "w.npy").shape == (2, 3, 3, 3)


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


def test_attack(cli: Cli) -> None:
    out = cli.folder / "out"
    words = (
        "--method",
        "pgd",
        "--epsilon",
        "8/255",
        "--step",
        "2/255",
        "--steps",
        10,
        "--norm",
        "l2",
        "--no-random-start",
    )
    found = cli.json(
        "attack",
        "tiny",
        *cli.pictures,
        *words,
        "--labels",
        "cat,1,2,3",
        "--seed",
        4,
        "--noise-control",
        "--out",
        out,
    )
    (request,) = cli.fake.requests("Attack")
    pgd = request.method.pgd
    assert (request.epsilon, pgd.step, pgd.steps) == (
        8 / 255,
        2 / 255,
        10,
    )
    assert (list(request.labels), list(request.targets), pgd.random_start) == (
        [0, 1, 2, 3],
        [],
        False,
    )
    assert found["robust_accuracy"] == 0.25  # the fake never fools row 0
    assert found["succeeded"] == [False, True, True, True]
    assert found["noise_succeeded"] == [False] * 4
    np.testing.assert_array_equal(
        np.load(out / "images.npy"), np.stack([adversarial(4, row) for row in range(4)])
    )
    assert found["out"] == str(out)


def test_attack_labels(cli: Cli) -> None:
    cli.json(
        "attack",
        "tiny",
        *cli.pictures,
        "--label",
        "sports car",
        "--target",
        3,
        "--method",
        "fgsm",
        "--epsilon",
        "0.1",
    )
    cli.json("attack", "tiny", *cli.pictures[:2], "--label", 1, "--label", "cat")
    first, second = cli.fake.requests("Attack")
    assert (list(first.labels), list(first.targets), first.epsilon) == (
        [1] * 4,
        [3] * 4,
        0.1,
    )
    assert list(second.labels) == [1, 0]


def test_attack_for_people(cli: Cli) -> None:
    text = cli.run("attack", "tiny", *cli.pictures, "--noise-control").stdout
    assert "robust accuracy 25.0%" in text
    assert "under noise 100.0%" in text
    assert CLASSES[0] in text


@pytest.mark.parametrize(("bar", "code"), [("0.25", 0), ("1/4", 0), ("0.26", 1)])
def test_a_missed_bar_is_exit_1(cli: Cli, bar: str, code: int) -> None:
    found = cli.json("attack", "tiny", *cli.pictures, "--fail-under", bar, code=code)
    assert found["robust_accuracy"] == 0.25


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


def test_a_failed_operation_fails_the_command(cli: Cli) -> None:
    cli.fake.operation_script.append(failed("operations/1", Code.ABORTED, "the server ended"))
    found = cli.json("index", "tiny", "--dataset", "digits", "--layer", "stem", code=5)
    assert found["error"]["code"] == "ABORTED"


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


def test_health(cli: Cli) -> None:
    assert cli.run("health").stdout == "SERVING\n"
    assert cli.json("health", "--model", "tiny") == {
        "status": "SERVING",
        "model": "tiny",
        "service_version": "7.8.9",
    }
    assert cli.json("health", "--model", "x" * 200, code=1)["status"] == "NOT_SERVING"
    assert cli.json("health", "--model", "nobody", code=1)["status"] == "SERVICE_UNKNOWN"


def test_timeout(cli: Cli) -> None:
    left: list[float] = []
    cli.fake.on_call = lambda method, context: left.append(context.time_remaining())
    cli.run("models")
    cli.run("models", "--timeout", 50)
    assert left[0] > 10**6, "no limit"
    assert 0 < left[1] < 60  # gRPC rounds what it sends


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
