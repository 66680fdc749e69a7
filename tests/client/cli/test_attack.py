"""The commands attack and curve: every method and option."""

from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from striate.v1 import attack_pb2
from tests.client.fakes.fakes_server import (
    CLASSES,
    adversarial,
)
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
