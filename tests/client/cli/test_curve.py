"""The command curve."""

from striate.v1 import attack_pb2
from tests.client.fakes.fakes_server import (
    CLASSES,
)
from tests.client.toys_cli import Cli


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
        "--fab-steps",
        7,
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
    assert (request.norm, search.steps, search.random_start) == (attack_pb2.NORM_L2, 5, True)
    assert (search.bisections, search.fab_steps) == (2, 7)
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
