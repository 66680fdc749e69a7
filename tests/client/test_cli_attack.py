"""The commands attack and curve: every method and option."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from striate._cli.robustness.attack_options import parse
from striate.v1 import attack_pb2
from tests.client.fakes_server import CLASSES
from tests.client.toys_cli import Cli


@pytest.mark.parametrize(
    ("method", "words", "field", "values"),
    [
        (
            "fgsm",
            ("--keep", "best", "--norm", "l1"),
            "fgsm",
            {"keep": "KEEP_BEST"},
        ),
        (
            "pgd",
            ("--restarts", 3, "--loss", "dlr"),
            "pgd",
            {"steps": 40, "restarts": 3, "loss": "LOSS_DLR", "randomStart": True},
        ),
        (
            "pgd",
            ("--decay", "1/2", "--no-stop-when-fooled"),
            "pgd",
            {"decay": 0.5, "stopWhenFooled": False},
        ),
        ("mi-fgsm", ("--steps", 10), "pgd", {"decay": 1.0, "randomStart": False, "steps": 10}),
        ("mi-fgsm", ("--random-start",), "pgd", {"decay": 1.0, "randomStart": True, "steps": 40}),
        ("apgd", ("--loss", "margin"), "apgd", {"steps": 100, "loss": "LOSS_MARGIN"}),
        ("apgd-t", (), "apgd", {"targetClasses": 9}),
        ("apgd-t", ("--target-classes", 3), "apgd", {"targetClasses": 3}),
        ("fab", ("--steps", 20, "--target-classes", 2), "fab", {"steps": 20, "targetClasses": 2}),
        ("square", ("--queries", 77), "square", {"queries": 77}),
        ("autoattack", (), "auto_attack", {}),
    ],
)
def test_every_method(
    cli: Cli, method: str, words: tuple[Any, ...], field: str, values: dict[str, Any]
) -> None:
    cli.json("attack", "tiny", *cli.pictures, "--method", method, "--epsilon", "4/255", *words)
    (request,) = cli.fake.requests("Attack")
    assert request.method.WhichOneof("method") == field
    assert request.epsilon == 4 / 255
    assert request.norm == (attack_pb2.NORM_L1 if "l1" in words else attack_pb2.NORM_LINF)
    assert values.items() <= MessageToDict(getattr(request.method, field)).items()


def test_targets_and_units(cli: Cli) -> None:
    assert (
        cli.json("attack", "tiny", *cli.pictures, "--label", "cat", "--target", "least-likely")[
            "targets"
        ]
        == [3] * 4
    )
    assert "target" in cli.run("attack", "tiny", *cli.pictures, "--target", "random").stdout
    found = cli.json(
        "attack", "tiny", *cli.pictures, "--unit", "stem:1", "--drive", "--level", "2.5"
    )
    unit = cli.fake.requests("Attack")[-1].unit
    assert (unit.unit, unit.drive, unit.level) == ("stem:1", True, 2.5)
    assert found["clean_activations"] == [0.0, 1.0, 2.0, 3.0]
    text = cli.run("attack", "tiny", *cli.pictures, "--unit", "stem:1").stdout
    assert not cli.fake.requests("Attack")[-1].unit.drive
    assert "clean activation" in text


def test_warnings_are_lines_on_stderr(cli: Cli) -> None:
    cli.fake.warnings = ["outputs are probabilities"]
    result = cli.run("attack", "tiny", *cli.pictures, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["warnings"] == cli.fake.warnings
    assert result.stderr.strip() == "striate: warning: outputs are probabilities"


def test_settings_of_attacks_are_read() -> None:
    attack = parse(
        "pgd:steps=100, "
        "restarts=5,random-start=yes,stop-when-fooled=no,step=2/255,loss=dlr,keep=last,decay=1"
    )
    told = vars(attack)
    assert (told["steps"], told["restarts"], told["random_start"], told["stop_when_fooled"]) == (
        100,
        5,
        True,
        False,
    )
    assert (told["step"], told["loss"], told["keep"], told["decay"]) == (
        2 / 255,
        "dlr",
        "last",
        1.0,
    )
    assert vars(parse("apgd-t:steps=50"))["target_classes"] == 9


def test_curve(cli: Cli) -> None:
    out = cli.folder / "out"
    words = (
        "--epsilons",
        "1/255,2/255,0.1",
        "--norm",
        "l2",
        "--steps",
        5,
        "--bisections",
        2,
        "--random-start",
        "--loss",
        "margin",
    )
    found = cli.json(
        "curve",
        "tiny",
        *cli.pictures,
        *words,
        "--label",
        "cat",
        "--seed",
        3,
        "--format",
        "png",
        "--out",
        out,
    )
    (request,) = cli.fake.requests("Attack")
    search = request.epsilon_search
    assert (request.norm, search.steps, search.bisections, search.random_start) == (
        attack_pb2.NORM_L2,
        5,
        2,
        True,
    )
    assert (request.seed, request.format, list(request.labels)) == (
        3,
        attack_pb2.IMAGE_FORMAT_PNG,
        [0] * 4,
    )
    assert found["epsilons"] == [1 / 255, 2 / 255, 0.1]
    assert found["curve"] == [0.5, 0.25, 0.0]  # rows 0 to 3 fall at 0 and at each epsilon in turn
    assert found["minimal_epsilons"] == [0, 1 / 255, 2 / 255, 0.1]
    assert (out / "images.npy").exists()
    text = cli.run(
        "curve", "tiny", *cli.pictures, "--epsilons", "1/255,2/255", "--label", "cat"
    ).stdout
    lines = [line.split() for line in text.splitlines()]
    assert [line[-1] for line in lines[1:4]] == ["before", "1/255", "2/255"]
    assert lines[4][-1] == CLASSES[0], "the fourth has no minimal epsilon"
    assert ["1/255", "50.0%"] in lines
    assert ["2/255", "25.0%"] in lines


@pytest.mark.parametrize(
    "words",
    [
        ["attack", "tiny", "a.png", "--method", "fgsm", "--restarts", "2"],
        ["attack", "tiny", "a.png", "--method", "autoattack", "--steps", "2"],
        ["attack", "tiny", "a.png", "--method", "pgd", "--queries", "2"],
        ["attack", "tiny", "a.png", "--method", "pgd", "--restarts", "2", "--no-random-start"],
        ["attack", "tiny", "a.png", "--epsilon", "8"],
        ["attack", "tiny", "a.png", "--fail-under", "40"],
        ["attack", "tiny", "a.png", "--fail-under", "-0.1"],
        ["attack", "tiny", "a.png", "--fail-under", "nan"],
        ["attack", "tiny", "a.png", "--drive"],
        ["attack", "tiny", "a.png", "--level", "1"],
        ["attack", "tiny", "a.png", "--unit", "stem"],
        ["attack", "tiny", "a.png", "--loss", "hinge"],
        ["curve", "tiny"],
        ["curve", "tiny", "a.png", "--epsilons", "1/255,much"],
        ["curve", "tiny", "a.png", "--epsilons", "2/255,1/255"],
        ["curve", "tiny", "a.png", "--label", "1", "--labels", "1"],
    ],
)
def test_wrong_usage_is_exit_2(cli: Cli, words: list[str]) -> None:
    result = cli.run(*words)
    assert result.exit_code == 2, result.output
    assert result.stderr
    assert not result.stdout
    assert not cli.fake.requests("Attack")
