"""What is counted on the wire is what a parser finds there, and counting ends at the limit."""

import contextlib

import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from service.rpc.doors.limits import LIMITS, MOST_FIELDS
from service.rpc.doors.wire_format import Undecodable, check
from service.rpc.validation import InvalidField
from striate.v1 import attack_pb2, audit_pb2, filters_pb2, interpret_pb2, visualize_pb2

NAME = "a" * 200


def refused(message: type[Message], data: bytes) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        check(data, message.DESCRIPTOR)  # type: ignore[arg-type, unused-ignore]
    return caught.value


def passes(request: Message) -> None:
    check(request.SerializeToString(), request.DESCRIPTOR)  # type: ignore[arg-type, unused-ignore]


def test_what_is_just_within_its_limits_passes() -> None:
    passes(
        visualize_pb2.VisualizeRequest(
            model=NAME,
            composed=[
                visualize_pb2.Objective(terms=[visualize_pb2.Term(unit="ä" * 200)] * 16),
                *[visualize_pb2.Objective()] * 63,
            ],
        )
    )
    numbers = range(2**32 - 4096, 2**32)  # varints of five bytes
    passes(attack_pb2.AttackRequest(model=NAME, labels=numbers, targets=numbers))
    passes(filters_pb2.MeasureTuningRequest(wavelengths=[2.0] * 16))


@pytest.mark.parametrize(
    ("request_", "field", "said"),
    [
        (interpret_pb2.ClassifyRequest(model="a" * 201), "model", "has 201 characters"),
        (interpret_pb2.ClassifyRequest(model="ä" * 201), "model", "has 201 characters"),
        (interpret_pb2.ClassifyRequest(model="a" * 10**6), "model", "has 1000000 bytes"),
        (attack_pb2.AttackRequest(labels=range(4097)), "labels", "more than 4096"),
        (attack_pb2.AttackRequest(labels=[2**32 - 1] * 4097), "labels", "more than 4096"),
        (filters_pb2.MeasureTuningRequest(wavelengths=[1.0] * 17), "wavelengths", "more than 16"),
        (
            visualize_pb2.VisualizeRequest(
                composed=[
                    visualize_pb2.Objective(),
                    visualize_pb2.Objective(terms=[visualize_pb2.Term()] * 17),
                ]
            ),
            "composed[1].terms",
            "more than 16",
        ),
        (
            audit_pb2.AuditRequest(models=["a", "b" * 201]),
            "models[1]",
            "has 201 characters, must have at most 200",
        ),
    ],
)
def test_what_passes_a_limit_is_refused_by_its_name(
    request_: Message, field: str, said: str
) -> None:
    error = refused(type(request_), request_.SerializeToString())
    assert error.field == field
    assert said in error.description


def test_a_list_that_is_sent_in_parts_is_counted_whole() -> None:
    half = attack_pb2.AttackRequest(labels=range(2049)).SerializeToString()
    assert refused(attack_pb2.AttackRequest, half + half).field == "labels"
    unpacked = b"\x18\x01" * 4097  # one element a field, as old writers have it
    assert refused(attack_pb2.AttackRequest, unpacked).field == "labels"


def test_fields_that_nobody_knows_are_counted_too() -> None:
    unknown = b"\xa8\x06\x01" * (MOST_FIELDS + 1)  # number 101
    assert refused(interpret_pb2.ClassifyRequest, unknown).field == "request"
    again = b"\x12\x00" * (MOST_FIELDS + 1)  # the same message again and again, merged by a parser
    assert refused(interpret_pb2.ClassifyRequest, again).field == "request"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 20,  # a tag without end
        b"\x0a\x05ab",  # longer than what follows
        b"\x0a",  # nothing follows
        b"\x09\x01",  # eight bytes are announced
        b"\x0b\x0c",  # a group
        b"\x07\x01",  # a wire type that there is none of
    ],
)
def test_bytes_that_are_no_message_are_told(data: bytes) -> None:
    with pytest.raises(Undecodable, match=r"no striate\.v1\.ClassifyRequest"):
        check(data, interpret_pb2.ClassifyRequest.DESCRIPTOR)


@given(st.binary(max_size=200))
def test_no_bytes_can_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(InvalidField, Undecodable):
        check(data, visualize_pb2.VisualizeRequest.DESCRIPTOR)


LISTS = st.fixed_dictionaries(
    {
        "labels": st.lists(st.integers(0, 2**32 - 1), max_size=5000),
        "targets": st.lists(st.integers(0, 300), max_size=5000),
        "model": st.text(max_size=300),
    }
)


@given(LISTS)
def test_it_agrees_with_counting_what_a_parser_finds(values: dict[str, list[int]]) -> None:
    request = attack_pb2.AttackRequest(**values)  # type: ignore[arg-type]
    fits = len(request.labels) <= 4096 and len(request.targets) <= 4096
    fits = fits and len(request.model) <= (LIMITS["striate.v1.AttackRequest.model"].characters or 0)
    try:
        passes(request)
    except InvalidField:
        assert not fits
    else:
        assert fits


def test_a_message_of_no_limits_is_walked_too() -> None:
    passes(status_pb2.Status(code=3, message="a" * 1000))
