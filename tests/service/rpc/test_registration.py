"""Every method of the contract has a handler, and is served as the contract says."""

from dataclasses import fields
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.longrunning.operations_pb2 import Operation

from service.rpc.registration import (
    INTERPRET,
    ROBUSTNESS,
    SERVICES,
    TABLE,
    Resources,
    method_handlers,
)
from striate.v1 import attack_pb2, audit_pb2, interpret_pb2, model_pb2, robustness_pb2, usage_pb2


def resources(tmp_path: Any) -> Resources:
    """Resources that nothing is asked of."""
    given = {field.name: cast(Any, None) for field in fields(Resources)}
    given["operations"] = SimpleNamespace(register=lambda *_: None)
    given["compute"] = SimpleNamespace(run_in_pool=None, meter=None)
    return Resources(**{**given, "state": tmp_path, "picture_cache_bytes": 1})


def test_the_table_holds_every_service_of_the_contract() -> None:
    files = (model_pb2, interpret_pb2, robustness_pb2, usage_pb2)
    contract = {s.full_name for f in files for s in f.DESCRIPTOR.services_by_name.values()}
    assert {service.full_name for service in TABLE} == contract


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_method_of_a_service_has_a_handler(service: Any, tmp_path: Any) -> None:
    methods = TABLE[service](resources(tmp_path))
    assert set(methods) == {method.name for method in service.methods}
    names = [call.__name__ for call in methods.values()]
    assert names == [snake_case(name) for name in methods]


def snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def test_a_method_that_nobody_wired_is_not_served(tmp_path: Any) -> None:
    methods = dict(TABLE[ROBUSTNESS](resources(tmp_path)))
    del methods["Attack"]
    with pytest.raises(ValueError, match=r"RobustnessService: Attack missing"):
        method_handlers(ROBUSTNESS, methods)
    with pytest.raises(ValueError, match=r"Assault missing or unknown"):
        method_handlers(ROBUSTNESS, {**TABLE[ROBUSTNESS](resources(tmp_path)), "Assault": print})


def test_methods_stream_and_speak_as_the_contract_says(tmp_path: Any) -> None:
    served: Any = method_handlers(ROBUSTNESS, TABLE[ROBUSTNESS](resources(tmp_path)))
    kinds = {n: (h.request_streaming, h.response_streaming) for n, h in served.items()}
    assert kinds == {
        "Attack": (False, False),
        "AttackStream": (True, True),
        "Audit": (False, False),
        "ReadAuditReport": (False, True),
        "UploadDataset": (True, False),
    }
    request = attack_pb2.AttackRequest(model="m", epsilon=0.1)
    assert served["Attack"].request_deserializer(request.SerializeToString()) == request
    operation = Operation(name="operations/1")
    assert served["Audit"].response_serializer(operation) == operation.SerializeToString()
    assert served["Audit"].request_deserializer(b"") == audit_pb2.AuditRequest()
    assert served["AttackStream"].stream_stream is not None
    assert INTERPRET.methods_by_name["Visualize"].server_streaming
