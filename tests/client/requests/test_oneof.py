"""Dataclasses as members of a oneof: what the contract has, users can say."""

import re
from dataclasses import fields
from typing import Any, get_args

import pytest

import striate
from striate import regularize, space, view
from striate._requests.oneof import set_kind
from striate.v1 import visualize_pb2 as pb


@pytest.mark.parametrize(
    ("union", "message", "oneof"),
    [
        (space.Space, pb.Parameterization, "kind"),
        (view.View, pb.Transform, "kind"),
        (regularize.Regularizer, pb.Regularizer, "kind"),
    ],
)
def test_the_classes_are_the_contracts(union: Any, message: Any, oneof: str) -> None:
    members = {field.name: field for field in message.DESCRIPTOR.oneofs_by_name[oneof].fields}
    for kind in get_args(union):
        given: dict[str, Any] = {one.name: 0.0625 for one in fields(kind)}
        given |= {name: 3 for name in ("depth", "width", "images", "every") if name in given}
        given |= {"dataset": "photos"} if "dataset" in given else {}
        found = message()
        set_kind(found, kind(**given), union, "field")
        name = str(found.WhichOneof(oneof))
        if members.pop(name).message_type is None:
            assert [getattr(found, name)] == list(given.values())
        else:
            member = getattr(found, name)
            assert {
                one.name: getattr(member, one.name) for one in member.DESCRIPTOR.fields
            } == given
    assert not members, "nothing that the contract has is out of reach"


def test_anything_else_is_refused() -> None:
    words = "must be a Fourier, Pixels, Cppn or Maco of striate.space, is str"
    with pytest.raises(striate.InvalidArgument, match=re.escape(words)) as caught:
        set_kind(pb.Parameterization(), "maco", space.Space, "parameterization")
    assert list(caught.value.fields) == ["parameterization"]
