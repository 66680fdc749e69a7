"""The command attribute."""

import json

import numpy as np
import pytest

from striate._api.attributions import METHODS
from striate.v1 import attribution_pb2 as pb
from tests.client.fakes.fakes_server import SHAPE
from tests.client.toys_cli import Cli


def test_command_writes_everything(cli: Cli) -> None:
    out = cli.folder / "out"
    found = cli.json(
        "attribute",
        "tiny",
        *cli.pictures,
        "--target",
        "cat",
        "--steps",
        9,
        "--baseline",
        "1/2",
        "--out",
        out,
    )
    (request,) = cli.fake.requests("Attribute")
    assert (request.steps, request.baseline, list(request.classes)) == (9, 0.5, [0] * 4)
    assert [row["objective"] for row in found["images"]] == ["logits:0"] * 4
    assert found["shape"] == [4, *SHAPE]
    assert np.load(out / "attributions.npy")[3, 0, 0, 0] == 3
    assert {path.name for path in out.iterdir()} >= {
        "00003.overlay.png",
        "00003.heat.png",
        "results.json",
    }
    assert json.loads((out / "results.json").read_text())["images"][1]["delta"] == pytest.approx(
        0.01
    )


@pytest.mark.parametrize("method", METHODS)
def test_command_knows_every_method(cli: Cli, method: str) -> None:
    text = cli.run(
        "attribute",
        "tiny",
        cli.pictures[0],
        "--method",
        method,
        "--unit",
        "stem:1",
        "--out",
        cli.folder / "out",
    ).stdout
    (request,) = cli.fake.requests("Attribute")
    assert request.method == METHODS[method]
    assert pb.AttributionMethod.Name(
        request.method
    ) == "ATTRIBUTION_METHOD_" + method.upper().replace("-", "_")
    assert "stem:1" in text
    assert method in text


@pytest.mark.parametrize(
    "words",
    [
        ["--method", "gradcam"],
        ["--steps", "0"],
        ["--baseline", "2"],
        ["--target", "0", "--unit", "stem:1"],
    ],
)
def test_wrong_usage_is_exit_2(cli: Cli, words: list[str]) -> None:
    result = cli.run("attribute", "tiny", cli.pictures[0], *words, "--out", cli.folder / "out")
    assert result.exit_code == 2, result.output
    assert not cli.fake.requests("Attribute")


def test_rules_of_relevance(cli: Cli) -> None:
    out = cli.folder / "out"
    options = ["--method", "lrp", "--composite", "epsilon-plus", "--epsilon", "1e-3", "--out", out]
    cli.json("attribute", "tiny", *cli.pictures, *options)
    (request,) = cli.fake.requests("Attribute")
    assert (request.composite, request.epsilon) == (pb.LRP_COMPOSITE_EPSILON_PLUS, 1e-3)
