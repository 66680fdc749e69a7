"""Every list and string of a request has a limit, and the contract says which."""

import re
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2
from google.protobuf.descriptor import FieldDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from service.rpc.doors.limits import LARGE, LIMITS, SMALL, fields_of, most_bytes
from service.rpc.registration import SERVICES
from striate.v1 import attack_pb2, audit_pb2, interpret_pb2, model_pb2

PROTOS = Path(__file__).parents[4] / "protos" / "striate" / "v1"
STANDARD = (
    operations_pb2.DESCRIPTOR.services_by_name["Operations"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
REQUESTS: dict[str, Any] = {
    method.input_type.full_name: method.input_type
    for service in (*SERVICES, *STANDARD)
    for method in service.methods
}
FIELDS: dict[str, FieldDescriptor] = {
    field.full_name: field for request in REQUESTS.values() for field in fields_of(request)
}


def test_every_list_and_every_string_of_a_request_has_a_limit() -> None:
    lists = {name for name, field in FIELDS.items() if field.is_repeated}
    texts = {name for name, field in FIELDS.items() if field.type == FieldDescriptor.TYPE_STRING}
    assert {name for name, limit in LIMITS.items() if limit.items is not None} == lists
    assert {name for name, limit in LIMITS.items() if limit.characters is not None} == texts


def comments() -> dict[str, str]:
    """The comment before each field of the contract, by the field's full name."""
    found: dict[str, str] = {}
    for path in sorted(PROTOS.glob("*.proto")):
        inside, comment = list[str](), list[str]()
        for line in map(str.strip, path.read_text().splitlines()):
            if line.startswith("//"):
                comment.append(line.removeprefix("//").strip())
                continue
            if begins := re.match(r"(message|enum|oneof|service) (\w+) \{$", line):
                # the fields of a oneof are those of the message around it
                inside.append(inside[-1] if begins[1] == "oneof" else begins[2])
            elif line == "}":
                inside.pop()
            elif field := re.match(r"(?:repeated |optional )?[\w.]+ (\w+) = \d+;", line):
                found[f"striate.v1.{inside[-1]}.{field[1]}"] = " ".join(comment)
            comment = []
    return found


def test_the_comments_of_the_contract_say_every_limit() -> None:
    said = comments()
    ours = {name: limit for name, limit in LIMITS.items() if name.startswith("striate.")}
    unsaid = [
        name
        for name, limit in ours.items()
        for number in (limit.items, limit.characters)
        if number is not None and not re.search(rf"\b{number}\b", said[name])
    ]
    assert not unsaid


@pytest.mark.parametrize(
    ("message", "most"),
    [
        (interpret_pb2.ClassifyRequest, LARGE),
        (attack_pb2.AttackStreamRequest, LARGE),
        (audit_pb2.UploadDatasetRequest, LARGE),
        (audit_pb2.AuditRequest, SMALL),
        (model_pb2.LoadModelRequest, SMALL),
        (health_pb2.HealthCheckRequest, SMALL),
    ],
)
def test_only_messages_that_may_hold_images_may_be_large(message: type, most: int) -> None:
    assert most_bytes(message.DESCRIPTOR) == most  # type: ignore[attr-defined]
