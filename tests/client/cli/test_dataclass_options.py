"""Options derived from dataclasses."""

from dataclasses import dataclass
from typing import Literal

import pytest
import typer

from striate._cli.dataclass_options import build, settings_of, syntax


@dataclass(frozen=True)
class Wobble:
    """A toy.

    Attributes:
        share: How far.
        every: Steps between, None for 4.
        shape: Of the path.
    """

    share: float
    every: int | None = None
    shape: Literal["round", "square"] = "round"


@dataclass(frozen=True)
class Loose:
    first: float | None = None
    second: float | None = None


@dataclass(frozen=True)
class Empty:
    pass


def test_settings_know_type_default_and_description() -> None:
    found = settings_of(Wobble)
    assert list(found) == ["share", "every", "shape"]
    assert [one.value_type for one in found.values()] == [float, int, Literal["round", "square"]]
    assert [one.help for one in found.values()] == [
        "How far.",
        "Steps between. Default: 4.",
        "Of the path.",
    ]
    assert found["shape"].default == "round"


@pytest.mark.parametrize(
    ("kind", "without", "text"),
    [
        (Wobble, 0, "SHARE[,EVERY[,SHAPE]]"),
        (Wobble, 1, "EVERY[,SHAPE]"),
        (Loose, 0, "FIRST[,SECOND]"),
        (Empty, 0, ""),
    ],
)
def test_the_syntax_of_a_value(kind: type, without: int, text: str) -> None:
    assert syntax(kind, without) == text


def test_a_value_is_built() -> None:
    assert build(Wobble, "1/4,3", "--wobble") == Wobble(0.25, 3)
    assert build(Wobble, "3", "--wobble", "", 0.5) == Wobble(0.5, 3)
    assert build(Empty, "", "--empty") == Empty()


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (Wobble, "much", "much"),
        (Wobble, "", "SHARE,EVERY,SHAPE"),
        (Loose, "1,2,3", "FIRST,SECOND"),
        (Empty, "1", "nothing"),
    ],
)
def test_values_that_do_not_fit(kind: type, text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words) as caught:
        build(kind, text, "--option")
    assert caught.value.param_hint == "--option"
