"""The command audit: what it asks, what it prints, and the exit codes of its gates."""

import json
from typing import Any

import grpc
import pytest

from striate._api.operation import Operation
from striate.v1 import audit_pb2
from tests.client.fakes.fakes_robustness import AUDIT, REPORT, UPLOADED, audited, auditing, gate
from tests.client.fakes.fakes_server import CLASSES, failed, failure, finished, png, reason
from tests.client.toys_cli import Cli

Code = grpc.StatusCode
PASS, FAIL, OPEN = (
    audit_pb2.GATE_VERDICT_PASS,
    audit_pb2.GATE_VERDICT_FAIL,
    audit_pb2.GATE_VERDICT_OPEN,
)


@pytest.mark.parametrize(
    "words",
    [
        ["audit"],
        ["audit", "tiny"],
        ["audit", "tiny", "--dataset", "digits", "--images", "."],
        ["audit", "tiny", "--resume", AUDIT],
        ["audit", "--dataset", "digits", "--resume", AUDIT],
        ["audit", "tiny", "--dataset", "digits", "--threat", "linf"],
        ["audit", "tiny", "--dataset", "digits", "--threat", "l3:1"],
        ["audit", "tiny", "--dataset", "digits", "--threat", "linf:8"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "magic"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "pgd:steps"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "pgd:steps=many"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "pgd:steps=0"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "pgd:random-start=perhaps"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "pgd:epsilon=0.1"],
        ["audit", "tiny", "--dataset", "digits", "--attack", "autoattack:steps=3"],
        ["audit", "tiny", "--dataset", "digits", "--fail-under", "linf:8/255"],
        ["audit", "tiny", "--dataset", "digits", "--fail-under", "linf=0.4"],
        ["audit", "tiny", "--dataset", "digits", "--fail-under", "linf:8/255=40"],
        ["audit", "tiny", "--dataset", "digits", "--fail-under", "else@clean=0.4"],
        ["audit", "tiny", "--dataset", "digits", "--severity", "6"],
        ["audit", "tiny", "--dataset", "digits", "--mce-reference", "other"],
        ["audit", "--resume", AUDIT, "--mce-reference", "other"],
        ["audit", "tiny", "--dataset", "digits", "--confidence", "95"],
        [
            "audit",
            "tiny",
            "--dataset",
            "digits",
            "--fail-under",
            "clean=0.4",
            "--fail-under",
            "clean=0.9",
        ],
        ["audit", "tiny", "--dataset", "digits", "--label", "cat"],
        ["audit", "tiny", "--dataset", "digits", "--no-wait", "--html", "a.html"],
        ["audit", "tiny", "--dataset", "digits", "--no-wait", "--require-valid"],
        ["audit", "--resume", AUDIT, "--fail-under", "clean=0.9"],
        ["audit", "--resume", AUDIT, "--threat", "l2:0.5"],
        ["audit", "--resume", AUDIT, "--limit", "5"],
        ["audit", "tiny", "--images", "gone"],
        ["audit", "tiny", "--images", "gone", "--label", "1", "--labels", "1"],
    ],
)
def test_wrong_usage_is_exit_2(cli: Cli, words: list[str]) -> None:
    cli.fake.operation_script.append(audited())  # one that is asked for all the same ends
    result = cli.run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr
    assert not result.stdout
    assert not cli.fake.requests("Audit")


def test_an_audit_is_asked_for_whole(cli: Cli) -> None:
    cli.fake.operation_script.append(audited())
    words: tuple[str, ...] = (
        "--threat",
        "linf:1/255,8/255",
        "--threat",
        "l2:0.5",
        "--attack",
        "pgd:steps=10,restarts=2",
        "--attack",
        "square",
    )
    words += (
        "--corruption",
        "fog",
        "--corruption",
        "snow",
        "--severity",
        "3",
        "--augmentation",
        "all",
        "--limit",
        "64",
        "--seed",
        "5",
    )
    words += ("--mce-reference", "other")
    words += ("--float-images", "--shard-images", "32", "--skip-checks")
    words += (
        "--confidence",
        "0.9",
        "--budget",
        "1000",
        "--fail-under",
        "linf:8/255=0.40",
        "--fail-under",
        "tiny@clean=4/5",
    )
    cli.json("audit", "tiny", "--dataset", "digits", *words)
    (request,) = cli.fake.requests("Audit")
    assert (list(request.models), request.dataset, request.limit, request.seed) == (
        ["tiny"],
        "digits",
        64,
        5,
    )
    assert (request.float_images, request.shard_images, request.skip_checks) == (True, 32, True)
    assert [(one.norm, len(one.epsilons)) for one in request.threats] == [(1, 2), (2, 1)]
    assert [one.WhichOneof("method") for one in request.attacks] == ["pgd", "square"]
    assert (request.attacks[0].pgd.steps, request.attacks[0].pgd.restarts) == (10, 2)
    assert (list(request.corruptions), list(request.severities), list(request.augmentations)) == (
        ["fog", "snow"],
        [3],
        ["all"],
    )
    assert (request.confidence, request.budget_gradients) == (0.9, 1000)
    assert request.mce_reference == "other"
    assert [(one.model, one.epsilon, one.bar) for one in request.gates] == [
        ("", 8 / 255, 0.4),
        ("tiny", 0, 0.8),
    ]


@pytest.mark.parametrize(
    ("verdict", "robust", "code"),
    [(PASS, 90, 0), (FAIL, 70, 1), (OPEN, 79, 1), (OPEN, 80, 0), (OPEN, 81, 0)],
)
def test_gates_decide_the_exit_code(cli: Cli, verdict: int, robust: int, code: int) -> None:
    cli.fake.operation_script.append(
        audited(1, gate(0, 0.8, PASS, 180), gate(8 / 255, 0.4, verdict, robust))
    )
    found = cli.json(
        "audit", "tiny", "--dataset", "digits", "--fail-under", "linf:8/255=0.4", code=code
    )
    assert [one["missed"] for one in found["gates"]] == [False, bool(code)]
    assert (found["passed"], found["gates"][1]["condition"]) == (verdict != FAIL, "linf:8/255")
    assert (found["report"], found["verdict"], found["operation"]) == (REPORT, "valid", AUDIT)


def test_a_suspect_audit_is_exit_7_if_validity_is_required(cli: Cli) -> None:
    for words, gates, code in (
        ((), [], 0),
        (("--require-valid",), [], 7),
        (("--require-valid",), [gate(0, 0.8, FAIL, 9)], 1),
    ):
        cli.fake.operations.clear()
        cli.fake.operation_script.append(audited(2, *gates))
        assert (
            cli.json("audit", "tiny", "--dataset", "digits", *words, code=code)["verdict"]
            == "suspect"
        )
    cli.fake.operations[AUDIT] = audited(1)
    assert cli.json("audit", "--resume", AUDIT, "--require-valid")["verdict"] == "valid"


def test_reports_are_written(cli: Cli) -> None:
    cli.fake.operation_script.append(audited())
    paths = {
        name: cli.folder / "reports" / name
        for name in ("html", "json", "junit", "parquet", "examples")
    }
    options = {"json": "--json-report"}
    words = [
        word for name, path in paths.items() for word in (options.get(name, f"--{name}"), path)
    ]
    found = cli.json("audit", "tiny", "--dataset", "digits", *words)
    assert found["files"] == {name: str(path) for name, path in paths.items()}
    assert json.loads(paths.pop("json").read_text()) == REPORT
    assert {name: path.read_text() for name, path in paths.items()} == {
        name: f"REPORT_FORMAT_{name.upper()} of {AUDIT}" for name in paths
    }


def test_an_audit_for_people(cli: Cli) -> None:
    cli.fake.operation_script.extend(
        [
            auditing(0),
            auditing(10, 3700),
            auditing(100, 45),
            audited(2, gate(8 / 255, 0.2, PASS, 57)),
        ]
    )
    result = cli.run("audit", "tiny", "--dataset", "digits")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [
        "tiny",
        "linf:8/255",
        "85.5%",
        "30.5%",
        "29.5%",
        "28.5%",
        "23.5",
        "to",
        "33.5%",
    ] in lines
    assert [
        "tiny",
        "linf:8/255",
        "20.0%",
        "57",
        "of",
        "200",
        "28.5%",
        "pass",
        "after",
        "128",
    ] in lines
    assert "check failed: tiny: randomness: 3 <b>passes</b> differ" in result.stdout
    told = result.stderr.splitlines()
    assert told[0].endswith(f"striate audit --resume {AUDIT}")
    assert told[1:] == [
        "0 of 200 images: shard 1",
        "100 of 200 images: shard 1, 45 s left",
        "200 of 200 images: shard 1",
    ]


def test_an_audit_tells_how_many_images_are_left_out(cli: Cli) -> None:
    cli.fake.operation_script.extend([auditing(100, left_out=3), audited()])
    told = cli.run("audit", "tiny", "--dataset", "digits").stderr.splitlines()
    assert "100 of 200 images, 3 of them left out: shard 1" in told


def test_an_audit_can_be_left_and_taken_up(cli: Cli) -> None:
    assert cli.json("audit", "tiny", "--dataset", "digits", "--no-wait") == {"operation": AUDIT}
    (shown,) = cli.json("operations")["operations"]
    assert (shown["name"], shown["progress"]["images_total"], shown["progress"]["stage"]) == (
        AUDIT,
        200,
        "shard 1",
    )
    assert "audit tiny on digits: 0 of 200 images, shard 1" in cli.run("operations").stdout
    cli.fake.operation_script.extend([auditing(64), audited(1, gate(0, 0.95, FAIL, 180))])
    assert cli.json("audit", "--resume", AUDIT, code=1)["operation"] == AUDIT
    assert len(cli.fake.requests("Audit")) == 1
    cli.fake.operations["operations/1"] = finished("operations/1")
    assert cli.run("audit", "--resume", "operations/1").exit_code == 2
    assert cli.run("audit", "--resume", "operations/7").exit_code == 3


@pytest.mark.parametrize("resumed", [False, True])
def test_ctrl_c_cancels_only_what_the_command_began(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, resumed: bool
) -> None:
    def interrupted(self: Operation, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Operation, "wait", interrupted)
    cli.fake.operations[AUDIT] = auditing(3)
    words = ("--resume", AUDIT) if resumed else ("tiny", "--dataset", "digits")
    assert cli.run("audit", *words).exit_code == 130
    assert [request.name for request in cli.fake.requests("CancelOperation")] == (
        [] if resumed else [AUDIT]
    )


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (failed(AUDIT, Code.CANCELLED, "no"), 5),
        (failed(AUDIT, Code.FAILED_PRECONDITION, "no", reason("DATASET_UNREADABLE")), 6),
        (failed(AUDIT, Code.INVALID_ARGUMENT, "no"), 2),
        (audited(1, text="{"), 6),
    ],
)
def test_an_audit_that_fails(cli: Cli, state: Any, code: int) -> None:
    cli.fake.operation_script.append(state)
    assert "error" in cli.json(
        "audit", "tiny", "--dataset", "digits", "--fail-under", "clean=0.5", code=code
    )


def test_errors_keep_their_exit_codes(cli: Cli) -> None:
    cli.fake.failures.append(failure(Code.NOT_FOUND, "no", reason("DATASET_NOT_FOUND")))
    assert cli.run("audit", "tiny", "--dataset", "nowhere").exit_code == 3
    cli.fake.failures.append(
        failure(Code.RESOURCE_EXHAUSTED, "no", reason("TOO_MANY_OPERATIONS"), pushback=-1)
    )
    assert cli.run("audit", "tiny", "--dataset", "digits").exit_code == 5


def test_images_of_ones_own(cli: Cli) -> None:
    for place, name in enumerate(("cat", "sports car", "cat/deeper")):
        folder = cli.folder / "set" / name
        folder.mkdir(parents=True)
        for value in range(2):
            (folder / f"{value}.png").write_bytes(png(4, 5, 10 * place + value))
    cli.fake.operation_script.append(audited())
    cli.json("audit", "tiny", "--images", cli.folder / "set")
    assert [request.dataset for request in cli.fake.requests("Audit")] == [UPLOADED]
    (part,) = cli.fake.uploaded
    assert list(part.images.encoded) == [png(4, 5, value) for value in (0, 1, 10, 11)]
    assert (list(part.labels), list(part.classes)) == ([0, 0, 1, 1], list(CLASSES))
    cli.fake.operations.clear()
    cli.fake.operation_script.append(audited())
    cli.json(
        "audit",
        "tiny",
        "--images",
        cli.pictures[0],
        "--images",
        cli.pictures[1],
        "--labels",
        "3,cat",
    )
    part = cli.fake.uploaded[-1]
    assert (list(part.images.encoded), list(part.labels)) == ([png(4, 5, 0), png(4, 5, 1)], [3, 0])
    (cli.folder / "set" / "empty").mkdir()
    assert cli.run("audit", "tiny", "--images", cli.folder / "set").exit_code == 2
    assert cli.run("audit", "tiny", "--images", cli.pictures[0]).exit_code == 2
