"""Help texts from docstrings."""

import pytest

from striate._cli.docstrings import attributes, summary, without_default


class Base:
    """What all share.

    Attributes:
        epsilon: Radius.
        norm: What it is
            measured in.
    """


class Child(Base):
    """The first paragraph
    over two lines.

    Further words: not an attribute.

    Attributes:
        epsilon: Radius of the child.
        steps: Gradient steps.

    Raises:
        ValueError: Never.
    """


class Bare(Base):
    pass


def test_attributes_are_read_from_the_class_and_its_bases() -> None:
    assert attributes(Child) == {
        "epsilon": "Radius of the child.",
        "norm": "What it is measured in.",
        "steps": "Gradient steps.",
    }
    assert attributes(Bare) == attributes(Base)
    assert attributes(int) == {}


def test_the_summary_is_the_first_paragraph() -> None:
    assert summary(Child) == "The first paragraph over two lines."
    assert summary(Bare) == ""


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Layers, 1 to 16, None for 8.", ("Layers, 1 to 16.", "8")),
        ("Size, None for 2.5 * eps / steps. More.", ("Size. More.", "2.5 * eps / steps")),
        ("Amount, 0 for nothing; None for 90.", ("Amount, 0 for nothing.", "90")),
        ("Layers, 1 to 16.", ("Layers, 1 to 16.", "")),
    ],
)
def test_what_none_stands_for(text: str, parts: tuple[str, str]) -> None:
    assert without_default(text) == parts
