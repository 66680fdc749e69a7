"""Names of layers and units: written, read again, and refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.layer import LayerPath, UnknownLayer

LAYERS = ("conv1", "layer1.0.conv1", "layer1.0", "layer1", "layer3.2", "inception4a.branch_1", "fc")

parts = st.text(
    st.characters(exclude_characters=".", exclude_categories=["C"]), min_size=1, max_size=6
)
names = st.lists(parts, min_size=1, max_size=4).map(".".join)
numbers = st.integers(0, 999_999_999)
positions = st.tuples(st.tuples(numbers, numbers), st.just(False)) | st.tuples(
    st.none(), st.booleans()
)
units = st.tuples(st.none()) | st.tuples(numbers, positions).map(lambda unit: (unit[0], *unit[1]))


@settings(deadline=None)
@given(names, units)
def test_what_is_written_is_read_again(name: str, unit: tuple[Any, ...]) -> None:
    path = LayerPath(name, *unit)
    assert LayerPath.parse(str(path), [name]) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("layer3.2", LayerPath("layer3.2")),
        ("layer3.2:7", LayerPath("layer3.2", 7)),
        ("layer3.2:7@3,4", LayerPath("layer3.2", 7, (3, 4))),
        (" layer3.2:7 ", LayerPath("layer3.2", 7)),
        ("layer3.2:7@center", LayerPath("layer3.2", 7, None, central=True)),
        ("logits:281", LayerPath("logits", 281)),
        ("layer3_2:7", LayerPath("layer3.2", 7)),
        ("layer1_0_conv1", LayerPath("layer1.0.conv1")),
        ("inception4a_branch_1:0@0,1", LayerPath("inception4a.branch_1", 0, (0, 1))),
        ("neg(layer3.2:7)", LayerPath("layer3.2", 7, form="neg")),
        ("-layer3.2:7", LayerPath("layer3.2", 7, form="neg")),
        (" - layer3_2:7@3,4", LayerPath("layer3.2", 7, (3, 4), form="neg")),
        ("abs( layer3.2:7@center )", LayerPath("layer3.2", 7, central=True, form="abs")),
        ("-logits:281", LayerPath("logits", 281, form="neg")),
    ],
)
def test_forms(text: str, path: LayerPath) -> None:
    assert LayerPath.parse(text, LAYERS) == path


ODD = ('block "a":1', "b@2", "c*[0]", "it's", "-x", "block", "d e.f")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('"block ""a"":1":7', LayerPath(ODD[0], 7)),
        ("'block \"a\":1':7@3,4", LayerPath(ODD[0], 7, (3, 4))),
        ('"b@2"', LayerPath("b@2")),
        ('"c*[0]":1@center', LayerPath("c*[0]", 1, None, central=True)),
        ('"it\'s":1', LayerPath("it's", 1)),
        ("'it''s':1", LayerPath("it's", 1)),
        ("it's:1", LayerPath("it's", 1)),  # an apostrophe inside a name opens no quotes
        ('"-x":1', LayerPath("-x", 1)),
        ('"block":1', LayerPath("block", 1)),
        ('"d e.f":0', LayerPath("d e.f", 0)),
        ("logits:cat", LayerPath("logits", 0)),
        ('-"-x":1', LayerPath("-x", 1, form="neg")),
        ('abs("block ""a"":1":7)', LayerPath(ODD[0], 7, form="abs")),
        ('neg(logits:"Sea Lion")', LayerPath("logits", 1, form="neg")),
        ("neg(logits:cat)", LayerPath("logits", 0, form="neg")),
        ('logits:"Sea Lion"', LayerPath("logits", 1)),
    ],
)
def test_odd_names_stand_in_quotes(text: str, path: LayerPath) -> None:
    assert LayerPath.parse(text, ODD, ["cat", "sea lion"]) == path
    assert LayerPath.parse(str(path), ODD) == path
    assert LayerPath.parse(str(path.plain), ODD) == path.plain


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("neg(layer3.2)", r"of the whole layer layer3\.2: neg\(\.\.\.\) takes one unit"),
        ("-layer3.2", "takes one unit"),
        ("abs(neg(layer3.2:7))", "is not of the form"),
        ("neg(layer3.2:7", "no layer|not of the form"),
        ("abs(layer3.2:7 - fc:1)", "is not of the form"),
    ],
)
def test_minus_and_magnitude_are_of_one_unit(text: str, message: str) -> None:
    with pytest.raises((ValueError, UnknownLayer), match=message):
        LayerPath.parse(text, LAYERS)


def test_a_layer_that_begins_with_a_minus_is_quoted_or_else_minus_another() -> None:
    assert LayerPath.parse("-x:1", ["x", "-x"]) == LayerPath("x", 1, form="neg")
    with pytest.raises(UnknownLayer):
        LayerPath.parse("-x:1", ["-x"])


def test_refusals_say_how_a_name_is_quoted() -> None:
    with pytest.raises(UnknownLayer, match='mean "b@2"') as caught:
        LayerPath.parse('"b@3":1', ODD)
    assert caught.value.nearest == ['"b@2"']
    with pytest.raises(ValueError, match=r'is written "d e\.f"'):
        LayerPath.parse("d e.f", ODD)
    with pytest.raises(ValueError, match="stands in double quotes"):
        LayerPath.parse("d e.f:1", ODD)
    for text in ('"b@2', '"b@2":', '"":1', '"b@2" :1', '"b@2"x:1', "'b@2\""):
        with pytest.raises(ValueError, match=r"not of the form|no layer"):
            LayerPath.parse(text, ODD)


@pytest.mark.parametrize(
    "text",
    ["", " ", ":7", "lay er1", "layer1:7 @3,4", "layer1:12345678901", "layer1:7@1,12345678901"],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        LayerPath.parse(text, LAYERS)


@pytest.mark.parametrize(
    "end",
    [
        ":",
        ":x",
        ":-1",
        ":1.5",
        "@3,4",
        ":7@",
        ":7@3",
        ":7@3,",
        ":7@3,4,5",
        ":7@-1,4",
        ":7:8",
        ":7@3.0,4",
        "@center",
        ":7@centers",
        ":7@center,1",
    ],
)
def test_other_ends_are_refused(end: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        LayerPath.parse("layer1" + end, LAYERS)


@pytest.mark.parametrize(
    ("shape", "position"), [((3, 7, 7), (3, 3)), ((3, 8, 5), (4, 2)), ((3, 1, 1), (0, 0))]
)
def test_the_centre_is_found_where_the_shape_is_known(
    shape: tuple[int, ...], position: tuple[int, int]
) -> None:
    assert LayerPath.parse("layer3.2:1@center", LAYERS).resolved(shape) == LayerPath(
        "layer3.2", 1, position
    )
    for other in (LayerPath("layer3.2", 1), LayerPath("layer3.2", 1, (0, 0)), LayerPath("fc")):
        assert other.resolved(shape) == other


def test_features_have_no_centre() -> None:
    with pytest.raises(ValueError, match="fc has no rows and columns"):
        LayerPath.parse("fc:1@center", LAYERS).resolved((10,))


def test_an_exact_name_goes_before_one_with_other_separators() -> None:
    layers = ("block.1_a", "block_1.a")
    assert LayerPath.parse("block.1_a", layers).layer == "block.1_a"
    assert LayerPath.parse("block_1.a", layers).layer == "block_1.a"


def test_an_ambiguous_name_is_refused_and_its_meanings_are_named() -> None:
    with pytest.raises(UnknownLayer) as caught:
        LayerPath.parse("block_1_a:3", ("block.1_a", "block_1.a", "other"))
    assert set(caught.value.nearest) == {"block.1_a", "block_1.a"}


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownLayer, match=r"no layer 'layer3\.3'.*layer3\.2") as caught:
        LayerPath.parse("layer3.3:7", LAYERS)
    assert caught.value.name == "layer3.3"
    assert caught.value.nearest[0] == "layer3.2"
    assert len(caught.value.nearest) <= 3


def test_of_a_long_name_only_the_beginning_is_compared_and_quoted() -> None:
    name = "layer3.3" + "x" * 100_000
    with pytest.raises(UnknownLayer) as caught:
        LayerPath.parse(name, LAYERS)
    assert caught.value.name == name[:100]
    assert len(str(caught.value)) < 500
    with pytest.raises(ValueError, match="not of the form") as refused:
        LayerPath.parse(name + "@", LAYERS)
    assert len(str(refused.value)) < 500


def test_a_name_like_nothing_is_refused_without_suggestions() -> None:
    with pytest.raises(UnknownLayer, match=r"^there is no layer 'zzzz'$") as caught:
        LayerPath.parse("zzzz", LAYERS)
    assert caught.value.nearest == []
