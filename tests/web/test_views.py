"""What pages show, against what is known by hand: addresses, layers on the way, plots, words."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from striate import Certificate, Layer, ReceptiveField
from striate_web.names import address, own, parts, unit_number
from striate_web.views import layers, plots, words
from striate_web.views.portraits import Making, Portrait

NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text not in (".", "..")
)


@given(st.lists(NAME, min_size=1, max_size=4))
def test_an_address_is_read_as_it_was_written(names: list[str]) -> None:
    path = address(*names)
    assert path.isascii()
    assert parts({"raw_path": path.encode(), "path": ""}) == names


def test_what_stands_at_its_default_is_left_out_of_addresses() -> None:
    assert address("a/b", "c d", 7, query=Making().query) == "/a%2Fb/c%20d/7"
    assert own("grow", query=Making(3, 64, "neg").query) == "/-/grow?seed=3&steps=64&form=neg"


@pytest.mark.parametrize("text", ["", "-1", "1.0", "x", "٣", "1" * 12])
def test_a_unit_is_a_number(text: str) -> None:
    assert unit_number("12") == 12
    with pytest.raises(HTTPException):
        unit_number(text)


def layer(name: str, kind: str, parameters: int = 9, unavailable: str = "") -> Layer:
    """A layer of 4 units that see 3 x 3 pixels."""
    field = ReceptiveField((3, 3), (1, 1), (0, 0), False, (0, 0, 8, 8))
    nothing = ((), (), (), ())
    return Layer(name, kind, *nothing, (4, 8, 8), parameters, 1, field, unavailable)


def test_the_way_goes_by_outermost_blocks_and_lone_layers() -> None:
    found = layers.way(
        [
            layer("conv1", "Conv2d"),
            layer("bn1", "BatchNorm2d"),
            layer("relu", "ReLU", 0),
            layer("layer1.0.conv1", "Conv2d"),
            layer("layer1.0.sub.conv", "Conv2d"),
            layer("layer1.0.sub", "Inner"),
            layer("layer1.0", "Block"),
            layer("layer1", "Sequential"),
            layer("features.0", "Conv2d"),
            layer("features", "Sequential"),
            layer("tokens", "Attention", unavailable="it is a sequence"),
        ]
    )
    assert [one.title for one in found] == ["conv1", "layer1.0", "features.0"]


def test_a_long_way_is_shortened_with_both_ends() -> None:
    found = layers.way([layer(f"c{number}", "Conv2d") for number in range(100)])
    assert len(found) == 24
    assert (found[0].title, found[-1].title) == ("c0", "c99")


@pytest.mark.parametrize(
    ("name", "title"), [('"a ""b"""', 'a "b"'), ("'it''s'", "it's"), ("conv1", "conv1"), ('"', '"')]
)
def test_quotes_of_odd_names_are_left_out_of_addresses(name: str, title: str) -> None:
    assert layers.bare(name) == title


def test_a_layer_is_found_with_quotes_and_without_and_near_names_are_told() -> None:
    net: Any = SimpleNamespace(
        name="net",
        layers=[layer('"block a"', "Conv2d"), layer("layer2.0", "Conv2d")],
        classes=("x",),
    )
    assert layers.find(net, "block a").name == layers.find(net, '"block a"').name == '"block a"'
    assert layers.find(net, "logits").units == 1
    with pytest.raises(HTTPException, match=r"Perhaps layer2\.0 is meant"):
        layers.find(net, "layer20")


def test_bars_cover_the_range_and_no_image_is_unseen() -> None:
    statistics: Any = SimpleNamespace(counts=(100, 0, 25, 1), span=(-1.0, 3.0))
    bars = plots.histogram(statistics)
    assert [(bar.low, bar.high) for bar in bars] == [(-1, 0), (0, 1), (1, 2), (2, 3)]
    assert [bar.height for bar in bars] == pytest.approx([110, 0, 55, 11])
    assert plots.histogram(SimpleNamespace(counts=(4,), span=(2.0, 2.0))) == []  # type: ignore[arg-type]


def test_a_curve_begins_and_ends_at_the_edges() -> None:
    assert plots.line([0, 1, 0.5], 0, 1) == "0.0,110.0 200.0,0.0 400.0,55.0"
    assert plots.line([2.0], 2, 2) == "0.0,110.0"


def test_a_receptive_field_is_drawn_no_larger_than_the_input() -> None:
    wide = ReceptiveField((36, 5), (1, 1), (0, 0), False, (0, 0, 32, 32))
    found = plots.field((32, 32), wide)
    assert (found.x, found.y, found.width, found.height) == (13.5, 0, 5, 32)
    assert plots.field((32, 24), None).width == 24


def portrait(**values: Any) -> Portrait:
    """A picture whose unit's maximum on the data set is 2."""
    known = dict.fromkeys(Certificate.__dataclass_fields__)
    known |= {"activation": 6.0, "held_out": 5.0, "held_out_minimum": 3.0, "dataset_maximum": 2.0}
    known |= {"ratio": 3.0, "percentile": 1.0, "dataset": "digits", "images": 1500, "units": 16}
    known |= {"rank": 1, "relative_rank": 1, "seed_activations": (), "attempts": 1, "no_ratio": ""}
    return Portrait(3, "0" * 64, 6.0, False, Certificate(**known | values))  # type: ignore[arg-type]


def test_a_certificate_is_told_in_sentences() -> None:
    first, second, third = words.certificate(portrait())
    assert first == (
        "The unit answers to it with 6: 3 times the most that any of the 1,500 images of digits "
        "reaches (2), and is above 100 % of them."
    )
    assert "5 on average, and 3 at worst" in second
    assert third == "Of the layer's 16 units it excites this one most."


def test_what_is_not_known_is_not_told() -> None:
    found = words.certificate(
        portrait(dataset_maximum=None, ratio=None, rank=5, relative_rank=2, attempts=3)
    )
    assert "no index" in found[0]
    assert "5th most, and second most in proportion" in found[2]
    assert found[-1] == "It is the best of 3 attempts."
    assert words.certificate(Portrait(1, "", math.nan, True, None)) == [
        "No pixel moves this unit: the picture is no evidence of anything."
    ]
