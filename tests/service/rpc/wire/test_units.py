"""Names of layers and units: one reading, whatever a request needs of them."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interp.layer import LayerPath, UnknownLayer
from service.models.zoo import HostedModel
from service.rpc.validation import InvalidField
from service.rpc.wire.units import read_layer, read_path, read_unit

SHAPES = {"a.conv": (4, 8, 6), "fc": (5,), "flat": (2, 2), "logits": (5,)}
CLASSES = ("crane", "sea lion", "jack-o'-lantern", "crane", "7")
NETWORK = SimpleNamespace(
    layers=("a.conv", "fc", "flat", "tokens"),
    output_shapes=SHAPES,
    unavailable={"tokens": "its output (5, 7) is a sequence"},
)
MODEL = cast(HostedModel, SimpleNamespace(name="toy", network=NETWORK, classes=CLASSES))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.conv", LayerPath("a.conv")),
        ("a_conv:3", LayerPath("a.conv", 3)),
        ("a.conv:3@7,5", LayerPath("a.conv", 3, (7, 5))),
        ("a.conv:0@center", LayerPath("a.conv", 0, (4, 3))),
        ("logits:4", LayerPath("logits", 4)),
        ("logits:sea_lion", LayerPath("logits", 1)),
        ("logits:'sea lion'", LayerPath("logits", 1)),
        ("logits:jack-o'-lantern", LayerPath("logits", 2)),
        ('logits:"7"', LayerPath("logits", 4)),  # in quotes a name, not a number
    ],
)
def test_names_become_paths_with_their_positions_in_numbers(text: str, path: LayerPath) -> None:
    assert read_path(text, "unit", MODEL) == path


def test_shapes_of_another_size_count_where_they_are_given() -> None:
    shapes = {**SHAPES, "a.conv": (4, 16, 12)}
    assert read_path("a.conv:0@center", "unit", MODEL, shapes).position == (8, 6)
    assert read_path("a.conv:0@9,9", "unit", MODEL, shapes).position == (9, 9)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_path, "", "^unit: is required"),
        (read_path, "x" * 201, "^unit: has 201 characters"),
        (read_path, "a.conv:1:2", "^unit: 'a.conv:1:2' is not of the form"),
        (read_path, "a.conv:4", r"^unit \(unit of a.conv\): is 4, must be from 0 to 3"),
        (read_path, "a.conv:0@8,0", r"^unit \(row\): is 8"),
        (read_path, "a.conv:0@0,6", r"^unit \(column\): is 6"),
        (read_path, "fc:0@center", "^unit: layer fc has no rows and columns"),
        (read_path, "fc:0@0,0", "^unit: layer fc has no rows and columns"),
        (read_path, "logits", "^unit: names no class"),
        (read_path, "logits:7", r"^unit \(unit of logits\): is 7, must be from 0 to 4"),
        (read_path, "logits:crane", "^unit: 'crane' names the classes 0, 3: use a number"),
        (read_path, "logits:sea_lions", "^unit: no class is called 'sea_lions'; nearest: sea lion"),
        (read_path, "fc:crane", "^unit: 'fc:crane' is not of the form.*only classes have names"),
        (read_unit, "a.conv", "^unit: must be of the form layer:unit, layer:unit@row"),
        (
            read_unit,
            "neg(a.conv:1)",
            r"^unit: is neg\(a.conv:1\), must be the unit itself, a.conv:1",
        ),
        (read_path, "-a.conv:1", r"^unit: is neg\(a.conv:1\), must be the unit itself"),
        (read_layer, "abs(a.conv:1)", r"^unit: is abs\(a.conv:1\), must be"),
        (read_layer, "neg(a.conv)", r"^unit: .*takes one unit, e.g. neg\(a.conv:0\)"),
        (read_layer, "a.conv:1", "^unit: is the unit a.conv:1, must name a layer"),
        (read_layer, "flat", "^unit: must name a layer whose output is"),
        (
            read_layer,
            "tokens",
            r"layer tokens has no units: its output \(5, 7\) is a sequence; must",
        ),
        (read_unit, "tokens:3", r"layer tokens has no units: .*\(units, rows, columns\)"),
    ],
)
def test_what_no_layer_has_is_refused(
    read: Callable[[str, str, HostedModel], Any], text: str, message: str
) -> None:
    with pytest.raises(InvalidField, match=message):
        read(text, "unit", MODEL)


def test_a_whole_unit_has_no_position() -> None:
    assert read_unit("a.conv:1", "unit", MODEL, positions=False) == LayerPath("a.conv", 1)
    for text in ("a.conv:1@0,0", "a.conv:1@center"):
        with pytest.raises(InvalidField, match="without a position"):
            read_unit(text, "unit", MODEL, positions=False)


def test_a_layer_goes_by_its_dotted_name_and_may_be_the_logits() -> None:
    assert read_layer("a_conv", "layer", MODEL) == "a.conv"
    assert read_layer("logits", "layer", MODEL) == "logits"
    with pytest.raises(UnknownLayer, match=r"a\.conv"):
        read_layer("a.con", "layer", MODEL)


def test_minus_a_unit_and_its_magnitude_where_they_are_meant() -> None:
    for text, path in (
        ("-a.conv:1", LayerPath("a.conv", 1, form="neg")),
        ("abs(a_conv:1@center)", LayerPath("a.conv", 1, (4, 3), form="abs")),
    ):
        assert read_unit(text, "unit", MODEL, forms=True) == path
    with pytest.raises(InvalidField, match=r"unit of a.conv\): is 4"):
        read_unit("neg(a.conv:4)", "unit", MODEL, forms=True)
