"""Numbers and lists as callers pass them: what counts as which."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import striate
from striate._rpc import checks
from striate.attacks.epsilons import fraction

NO_NUMBERS: list[Any] = [True, False, np.True_, b"0.03", "0.03", bytearray(b"1"), Decimal(1), None]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_no_epsilon_seed_or_count(value: Any) -> None:
    for make in (
        lambda: striate.FGSM(epsilon=value),
        lambda: striate.EpsilonSearch(epsilons=(value,)),
        lambda: checks.number("epsilon", value),
        lambda: checks.seed_value("seed", value),
        lambda: checks.whole("steps", value, 0, 9),
    ):
        with pytest.raises(striate.InvalidArgument, match="is "):
            make()
    if value is not None:  # None is the server's default
        with pytest.raises(striate.InvalidArgument):
            checks.at_least(0, k=value)
        with pytest.raises(striate.InvalidArgument):
            checks.positive(weight=value)
    if not isinstance(value, str):
        with pytest.raises(striate.InvalidArgument):
            fraction("number", value)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int64(1), Fraction(1)])
def test_numbers_of_other_kinds_count(value: Any) -> None:
    assert checks.number("epsilon", value) == 1.0
    assert striate.FGSM(epsilon=value).epsilon == 1.0
    checks.positive(weight=value)


@pytest.mark.parametrize("value", [b"ab", bytearray(2), memoryview(b"ab"), "ab", {1, 2}, {1: 2}, 3])
def test_what_has_no_order_is_no_list(value: Any) -> None:
    with pytest.raises(striate.InvalidArgument, match="one an image, 2"):
        checks.listed("epsilons", value, "one an image, 2")
    with pytest.raises(striate.InvalidArgument, match="radii"):
        striate.EpsilonSearch(epsilons=value)


@pytest.mark.parametrize("value", ["no", "False", 0, 1, None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(striate.InvalidArgument, match="True or False"):
        striate.PGD(random_start=value)
    assert striate.PGD(random_start=np.False_).random_start is False  # type: ignore[arg-type]
