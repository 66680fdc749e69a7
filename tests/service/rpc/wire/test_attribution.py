"""Which attribution methods the contract and the registry have."""

from dataclasses import fields

import pytest

from interp.attribution.registry import ATTRIBUTION_METHODS, AttributionSettings
from service.rpc.validation import InvalidField
from service.rpc.wire import attribution as wire_attribution
from striate.v1 import attribution_pb2 as pb


def test_every_method_of_the_contract_is_in_the_registry() -> None:
    named = {wire_attribution.method_name(value) for value in pb.AttributionMethod.values()[1:]}
    assert named == set(ATTRIBUTION_METHODS)


def test_methods_name_settings_that_exist_and_that_a_request_has() -> None:
    known = {field.name for field in fields(AttributionSettings)}
    request = set(pb.AttributeRequest.DESCRIPTOR.fields_by_name)
    for name, method in ATTRIBUTION_METHODS.items():
        assert set(method.settings) <= known & request, name


@pytest.mark.parametrize(("value", "message"), [(0, "is required"), (99, "is 99, must be one of")])
def test_unknown_methods_are_refused(value: int, message: str) -> None:
    with pytest.raises(InvalidField, match=message):
        wire_attribution.method_name(value)
