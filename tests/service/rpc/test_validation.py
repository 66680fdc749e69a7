"""Validators: what is wrong is named, with its field and its range."""

import math

import pytest

from service.rpc.validation import InvalidField, known, required, within
from striate.v1 import types_pb2


def test_names_are_short() -> None:
    with pytest.raises(InvalidField, match="at most 200"):
        required("model", "x" * 201)


def test_names_that_are_required_may_not_be_empty() -> None:
    with pytest.raises(InvalidField, match=r"^model: is required$") as refused:
        required("model", "")
    assert (refused.value.field, refused.value.description) == ("model", "is required")


@pytest.mark.parametrize(
    ("value", "words"), [(10**9, "is 1000000000, must be from 1 to 1234567"), (0, "is 0,")]
)
def test_whole_numbers_are_told_whole(value: int, words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        within("labels[0]", value, 1, 1234567)


def test_zero_stands_for_the_default_only_where_there_is_one() -> None:
    assert within("steps", 0, 1, 10, default=7) == 7
    assert within("level", 0.0, 0.0, 1.0) == 0
    for value in (math.nan, math.inf, -0.1):
        with pytest.raises(InvalidField, match="must be from 0 to 1"):
            within("level", value, 0.0, 1.0)


def test_a_number_that_no_enumeration_has_is_refused_with_the_names_that_it_has() -> None:
    known("priority", types_pb2.PRIORITY_BATCH, types_pb2.Priority.DESCRIPTOR)
    with pytest.raises(InvalidField, match="is 9, must be one of PRIORITY_INTERACTIVE, PRIORITY"):
        known("priority", 9, types_pb2.Priority.DESCRIPTOR)
