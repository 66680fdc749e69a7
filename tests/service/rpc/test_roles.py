"""Every method of every service has a place in the table of roles."""

from bench.fuzz.methods import METHODS
from service.auth.identity import Role
from service.rpc.roles import TABLE, least_role

OPEN = {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}


def test_the_table_has_just_the_methods_that_are_served() -> None:
    listed = {f"/{service}/{name}" for service, methods in TABLE.items() for name in methods}
    # The messages of both reflection services are the same; the client's stubs know one of them.
    twin = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    assert listed - {twin} == {method.name for method in METHODS}


def test_only_probes_are_open() -> None:
    assert {method.name for method in METHODS if least_role(method.name) is None} == OPEN


def test_what_is_not_in_the_table_is_for_admins() -> None:
    assert least_role("/striate.v1.ModelService/Forgotten") is Role.ADMIN
