"""Epsilons and conditions as people write them."""

import numpy as np
import pytest

import striate
from striate.attacks.epsilons import Condition, condition_name, fraction, radius, read_condition


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8 / 255, "8/255"),
        (2 * (4 / 255), "8/255"),
        (0.1 + 0.2, "0.3"),
        (np.float32(8 / 255), "0.0313726"),
        (0.5 / 255, "0.5/255"),
        (0.5, "0.5"),
        (12, "12"),
        (0.0, "0"),
        (1.0, "1"),
        (0.0123456, "0.0123456"),
        (1 / 255, "1/255"),
        (0.4, "0.4"),
    ],
)
def test_epsilons_for_people(value: float, text: str) -> None:
    assert radius(float(value)) == text
    assert condition_name("l2", float(value)) == f"l2:{text}"
    assert fraction("epsilon", text) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("clean", Condition("", "", 0.0)),
        ("net@clean", Condition("net", "", 0.0)),
        ("linf:8/255", Condition("", "linf", 8 / 255)),
        ("a@b@l2:0.5", Condition("a@b", "l2", 0.5)),
        ("l1:12", Condition("", "l1", 12.0)),
    ],
)
def test_conditions_are_read(text: str, condition: Condition) -> None:
    assert read_condition(text, "gates") == condition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "linf",
        "8/255",
        "linf:",
        "linf:8",
        "l3:1",
        "linf:8/0",
        "linf:0",
        "linf:-1/255",
        "clean:1",
        "noise",
    ],
)
def test_conditions_that_make_no_sense(text: str) -> None:
    with pytest.raises(striate.InvalidArgument) as caught:
        read_condition(text, "gates")
    assert list(caught.value.fields) == ["gates"]
