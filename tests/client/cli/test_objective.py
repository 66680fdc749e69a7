"""Objectives as the command line spells them."""

import numpy as np
import pytest

from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.client.toys_cli import Cli


def test_objectives_with_files(cli: Cli) -> None:
    vector, image = cli.folder / "my vector.npy", cli.pictures[0]
    np.save(vector, np.array([0.0, 2.0, -1.0]))
    words = (
        f"direction(stem,{vector}) - 0.5*dot-cosine( stem@1,2 , {vector}, power=2 ) + stem:3 + "
        f"caricature(stem, {image}, power=0)"
    )
    cli.json("visualize", "tiny", words, f" -style(stem,{image})", "--out", cli.folder)
    first, second = cli.fake.requests("Visualize")[0].composed
    sent = types_pb2.Tensor(
        dtype=types_pb2.DATA_TYPE_FLOAT64, shape=[3], data=np.load(vector).tobytes()
    )
    batch = types_pb2.ImageBatch(encoded=[image.read_bytes()])
    along = pb.Direction(layer="stem", vector=sent, comparison=pb.COMPARISON_DOT)
    at = pb.Direction(
        layer="stem", vector=sent, comparison=pb.COMPARISON_DOT_COSINE, power=2, row=1, column=2
    )
    like = pb.Likeness(layer="stem", image=batch, kind=pb.LIKENESS_KIND_CARICATURE, power=0)
    style = pb.Likeness(layer="stem", image=batch, kind=pb.LIKENESS_KIND_STYLE)
    assert list(first.terms) == [
        pb.Term(direction=along),
        pb.Term(direction=at, weight=-0.5),
        pb.Term(unit="stem:3"),
        pb.Term(likeness=like),
    ]
    assert list(second.terms) == [pb.Term(likeness=style, weight=-1)]


def test_from_one_objective_to_another(cli: Cli) -> None:
    cli.json("visualize", "tiny", "stem:1", "stem:2", "--between", 3, "--out", cli.folder)
    sent = [
        [(one.unit, one.weight or 1) for one in objective.terms]
        for objective in cli.fake.requests("Visualize")[0].composed
    ]
    assert sent == [[("stem:1", 1)], [("stem:1", 0.5), ("stem:2", 0.5)], [("stem:2", 1)]]


@pytest.mark.parametrize(
    ("words", "field", "told"),
    [
        (("style(stem)",), "objectives", "inversion(LAYER,IMAGE)"),
        (("style(stem@1,2,{image})",), "objectives", "@ROW,COLUMN"),
        (("pattern(stem,{image})",), "objectives", "pattern"),
        (("cosine(stem,{image})",), "vector", ".npy"),
        (("style(stem,{image},power=much)",), "power", "much"),
        (("stem:0", "--between", "3"), "between", "two"),
    ],
)
def test_objectives_that_cannot_be_read_are_told(
    cli: Cli, words: tuple[str, ...], field: str, told: str
) -> None:
    found = cli.json(
        "visualize",
        "tiny",
        *(word.format(image=cli.pictures[0]) for word in words),
        "--out",
        cli.folder,
        code=2,
    )
    assert told in found["error"]["fields"][field]
    assert cli.fake.requests("Visualize") == []
