"""Objectives: what they compose to, how they are written, read and sent."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import striate
from striate._requests.objective import objective_message
from striate.objective import expression
from striate.v1 import types_pb2
from striate.v1 import visualize_pb2 as pb
from tests.client.fakes.fakes_server import png


def weights(objective: striate.Objective) -> list[tuple[float, str]]:
    """What an objective sums, as it travels."""
    return [
        (term.weight if term.HasField("weight") else 1.0, term.unit)
        for term in objective_message(objective).terms
    ]


A, B = striate.Unit("layer3.2:7"), striate.Unit("layer3.2:8@1,2")


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (A, [(1, "layer3.2:7")]),
        (A + B, [(1, "layer3.2:7"), (1, "layer3.2:8@1,2")]),
        (A - 0.5 * B, [(1, "layer3.2:7"), (-0.5, "layer3.2:8@1,2")]),
        (-A, [(-1, "layer3.2:7")]),
        (-(A - B) * 2, [(-2, "layer3.2:7"), (2, "layer3.2:8@1,2")]),
        ((A + B) / 4, [(0.25, "layer3.2:7"), (0.25, "layer3.2:8@1,2")]),
        (A + "logits:3 - 2*x", [(1, "layer3.2:7"), (1, "logits:3"), (-2, "x")]),
        ("x" - A, [(1, "x"), (-1, "layer3.2:7")]),
        ("x" + A, [(1, "x"), (1, "layer3.2:7")]),
        (sum([A, B, A]), [(1, "layer3.2:7"), (1, "layer3.2:8@1,2"), (1, "layer3.2:7")]),
        (A + 0 * B, [(1, "layer3.2:7")]),
        (abs(A), [(1, "abs(layer3.2:7)")]),
        (2 * abs(B) - "neg(x:1)", [(2, "abs(layer3.2:8@1,2)"), (-1, "neg(x:1)")]),
    ],
)
def test_composition(objective: striate.Objective, expected: list[tuple[float, str]]) -> None:
    assert weights(objective) == expected


@pytest.mark.parametrize(
    ("text", "expected", "again"),
    [
        ("layer3.2:7", [(1, "layer3.2:7")], None),
        ("  layer3.2:7@3,4 ", [(1, "layer3.2:7@3,4")], "layer3.2:7@3,4"),
        ("layer3.2:7@center - 2*a:1@center", [(1, "layer3.2:7@center"), (-2, "a:1@center")], None),
        (
            "layer3.2:7 - 0.5*layer3.2:8 + logits:3",
            [(1, "layer3.2:7"), (-0.5, "layer3.2:8"), (1, "logits:3")],
            None,
        ),
        ("-a:1 +b:2", [(-1, "a:1"), (1, "b:2")], "-a:1 + b:2"),
        ("- 2 * a:1 - -5e-1*b", [(-2, "a:1"), (0.5, "b")], "-2*a:1 + 0.5*b"),
        (
            '2*"a - b*2":7 - \'it\'\'s "c"\':1@2,3 + logits:"sea lion" + logits:jack-o\'-lantern',
            [
                (2, '"a - b*2":7'),
                (-1, "'it''s \"c\"':1@2,3"),
                (1, 'logits:"sea lion"'),
                (1, "logits:jack-o'-lantern"),
            ],
            None,
        ),
        ('-"a b":1 +"c:d"', [(-1, '"a b":1'), (1, '"c:d"')], '-"a b":1 + "c:d"'),
        ("neg(a.b:1)", [(1, "neg(a.b:1)")], None),
        (
            "abs( logits:cat ) - 2*neg(b:1@2,3)",
            [(1, "abs( logits:cat )"), (-2, "neg(b:1@2,3)")],
            None,
        ),
        ('0.5*abs("a - b*2":7) + c:1', [(0.5, 'abs("a - b*2":7)'), (1, "c:1")], None),
        ("-layer3.2:7", [(-1, "layer3.2:7")], None),
        ("conv-1:2 - conv-2:3", [(1, "conv-1:2"), (-1, "conv-2:3")], None),
    ],
)
def test_expressions(text: str, expected: list[tuple[float, str]], again: str | None) -> None:
    read = striate.Objective.parse(text)
    assert weights(read) == expected
    assert repr(read) == (again or text)
    assert repr(striate.Objective.parse(repr(read))) == repr(read)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must not be empty"),
        ("a:1 +", "no unit behind '\\+'"),
        ("0.5*", "no unit behind"),
        ("a:1-0.5*b:2", "'a:1-0.5' is no number; write .* with a space before"),
        ("much*b:2", "'much' is no number"),
        ("0*b:2", "must be finite and not 0"),
        ("nan*b:2", "must be finite"),
        ("a:1 b:2", "'a:1 b:2' has a space in it"),
        ("a:1- b:2", "has a space in it"),
        ("a:* + b:2", "'a:\\*' is a whole layer, which goes with no other"),
        ("a:one", "must be layer, layer:unit"),
        ("abs(a:1 - b:2)", r"abs\(\.\.\.\) takes one unit, no sum"),
        ("neg(2*a:1)", "takes one unit, no sum and no factor"),
        ("neg(a:one)", "must be layer, .*or neg"),
        ('"a b:1', "names with spaces in double quotes"),
        ('"a":"b"', "must be layer, layer:unit"),
        ('"a b":* + b:2', "is a whole layer, which goes with no other"),
    ],
)
def test_expressions_that_make_no_sense(text: str, words: str) -> None:
    with pytest.raises(striate.InvalidArgument, match=words):
        striate.Objective.parse(text)


def test_whole_layers() -> None:
    assert expression.whole_layer("inception_4a:*") == ("inception_4a", None, "value")
    assert expression.whole_layer("a.b-1:16-31") == ("a.b-1", range(16, 32), "value")
    assert expression.whole_layer("neg(a:*)") == ("a", None, "neg")
    assert expression.whole_layer(" -a:0-3") == ("a", range(4), "neg")
    assert expression.whole_layer('abs( "a (b":* )') == ('"a (b"', None, "abs")
    assert expression.whole_layer('-"-x":*') == ('"-x"', None, "neg")
    assert expression.whole_layer('"a b:*":*') == ('"a b:*"', None, "value")
    assert expression.whole_layer("'a b':0-3") == ("'a b'", range(4), "value")
    for other in ("a:1", "a", "a:1@2,3", "a:1 - b:2", "2*a:1", 7, striate.Unit("a:1")):
        assert expression.whole_layer(other) is None
    with pytest.raises(striate.InvalidArgument, match="must rise"):
        expression.whole_layer("a:3-2")


def test_interpolation() -> None:
    found = striate.interpolate("a:1", "b:2 - c:3", 5)
    assert list(map(weights, found)) == [
        [(1, "a:1")],
        *([(1 - t, "a:1"), (t, "b:2"), (-t, "c:3")] for t in (0.25, 0.5, 0.75)),
        [(1, "b:2"), (-1, "c:3")],
    ]
    with pytest.raises(striate.InvalidArgument, match="at least 2"):
        striate.interpolate("a:1", "b:2", 1)


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [(np.float32, types_pb2.DATA_TYPE_FLOAT32), (np.float64, types_pb2.DATA_TYPE_FLOAT64)],
)
def test_directions(dtype: Any, sent: int) -> None:
    values = np.array([0.1, -2, 0], dtype)
    direction = striate.Direction("stem", values, "dot-cosine", power=2, position=(0, 3))
    values[:] = 0  # what was given counts
    term = objective_message(-0.5 * direction).terms[0]
    assert (term.weight, term.direction.layer, term.direction.comparison, term.direction.power) == (
        -0.5,
        "stem",
        3,
        2,
    )
    assert (term.direction.row, term.direction.column, term.direction.HasField("row")) == (
        0,
        3,
        True,
    )
    assert (term.direction.vector.dtype, list(term.direction.vector.shape)) == (sent, [3])
    np.testing.assert_array_equal(
        np.frombuffer(term.direction.vector.data, dtype), np.array([0.1, -2, 0], dtype)
    )
    assert repr(A - direction) == "layer3.2:7 - dot-cosine(stem@0,3)"
    plain = objective_message(striate.Direction("stem", [1, 2])).terms[0].direction
    assert {field.name for field, _ in plain.ListFields()} == {"layer", "vector", "comparison"}
    assert np.frombuffer(plain.vector.data, np.float32).tolist() == [1, 2]


def test_likenesses(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(4, 5, 9))
    pixels = np.full((3, 4, 5), 0.5, np.float32)
    for image in (
        tmp_path / "a.png",
        png(4, 5, 9),
        Image.new("RGB", (5, 4)),
        pixels,
        np.zeros((4, 5, 3), np.uint8),
    ):
        likeness = objective_message(striate.Like(image, "stem")).terms[0].likeness
        assert (likeness.layer, likeness.kind, likeness.HasField("power")) == (
            "stem",
            pb.LIKENESS_KIND_INVERSION,
            False,
        )
        assert len(likeness.image.encoded) == 1 or likeness.image.tensor.shape[0] == 1
    assert likeness.image.tensor.data == bytes(60)
    power = (
        objective_message(striate.Like(tmp_path / "a.png", "stem", kind="caricature", power=0))
        .terms[0]
        .likeness
    )
    assert (power.image.encoded[0], power.kind, power.HasField("power")) == (
        png(4, 5, 9),
        pb.LIKENESS_KIND_CARICATURE,
        True,
    )
    style = striate.Like(pixels, "stem", kind="style")
    assert (objective_message(style).terms[0].likeness.kind, repr(style)) == (
        pb.LIKENESS_KIND_STYLE,
        "style(stem)",
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: striate.Unit("a:1 - b:2"), "unit"),
        (lambda: striate.Unit("a:*"), "unit"),
        (lambda: striate.Direction("a", [0.0, 0]), "vector"),
        (lambda: striate.Direction("a", [[1.0]]), "vector"),
        (lambda: striate.Direction("a", [1, float("inf")]), "vector"),
        (lambda: striate.Direction("a", ["one"]), "vector"),
        (lambda: striate.Direction("a", [1], "near"), "comparison"),  # type: ignore[arg-type]
        (lambda: striate.Direction("a", [1], power=0), "power"),
        (lambda: striate.Direction("a", [1], position=(1,)), "position"),  # type: ignore[arg-type]
        (lambda: striate.Like(np.zeros((2, 3, 4, 5), np.float32), "a"), "image"),
        (lambda: striate.Like(np.full((3, 4, 5), 7.0), "a"), "image"),
        (lambda: striate.Like(png(1, 1, 0), "a", kind="art"), "kind"),  # type: ignore[arg-type]
        (lambda: A * float("nan"), "weight"),
        (lambda: objective_message(0 * A), "objectives"),
        (lambda: objective_message(sum([A] * 17, start=A)), "objectives"),
    ],
)
def test_what_is_refused(make: Any, field: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        make()
    assert list(caught.value.fields) == [field]


@pytest.mark.parametrize("make", [lambda: A + 1, lambda: A * B, lambda: 1 - A, lambda: A / "2"])  # type: ignore[operator]
def test_what_does_not_compose(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


def test_a_magnitude_is_of_one_unit() -> None:
    for unit in ("layer", "abs(a:1)", "neg(a:1)"):
        with pytest.raises(striate.InvalidArgument, match="layer:unit"):
            abs(striate.Unit(unit))
    with pytest.raises(striate.InvalidArgument, match="unit"):
        striate.Drive("neg(a:1)")
