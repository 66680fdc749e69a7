"""The authorization matrix's column of another tenant: every method of every service is asked for
what is somebody else's, or kept from the caller, and answers as if there were none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import striate
from bench.fuzz.methods import METHODS, Method
from service.auth.tokens import digest, new_token
from striate.errors import DatasetNotFound, OperationNotFound, PermissionDenied
from tests.service.rpc.test_hidden_names import (
    BASE,
    MODEL_FIELDS,
    NOT_LOOKED_FOR,
    Step,
    named,
    with_name,
)
from tests.toys_server import serving

MODEL = "digits-lenet5"
CALLERS = {  # name -> role, models
    "ann": ("compute", ["*"]),
    "bob": ("admin", ["digits-*"]),  # may do everything, to what is not kept from them
    "zoe": ("read", ["*"]),
    "eve": ("admin", ["*"]),
}
OPERATION_FIELDS = {"operation", "name"}
LISTS = {"ListOperations", "ListDatasets", "ListModels"}


@dataclass(frozen=True)
class House:
    """A server, the tokens of its callers, and what belongs to ann: two names of each."""

    target: str
    tokens: dict[str, str]
    dataset: str
    operation: str
    shared: str

    def connect(self, caller: str) -> striate.Service:
        return striate.connect(self.target, token=self.tokens[caller], timeout=120)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    auth, tokens, text = folder / "auth.toml", dict[str, str](), ""
    for name, (role, models) in CALLERS.items():
        tokens[name] = new_token()
        text += f'[[tokens]]\nname = "{name}"\nrole = "{role}"\nmodels = {models}\n'
        text += f'sha256 = "{digest(tokens[name])}"\n'
    auth.write_text(text)
    auth.chmod(0o600)
    flags = ("--model", MODEL, "--model", "cifar10-plain", "--auth", str(auth))
    with serving(folder, *flags) as (_, target):
        with striate.connect(target, token=tokens["ann"], timeout=120) as ann:
            pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 1), dtype=np.uint8)
            dataset = ann.upload(pixels, [number % 10 for number in range(32)])
            begun = [
                ann.audit(
                    MODEL,
                    dataset,
                    attacks=["fgsm"],
                    threats={"linf": [0.1]},
                    limit=8,
                    skip_checks=True,
                    share=share,
                )
                for share in ((), ("zoe", "bob"))
            ]
            ann.build_index(MODEL, dataset, ["c3"]).wait()
            ann.build_index(MODEL, "digits", ["c3"], limit=32).wait()
            for operation in begun:
                operation.wait()
        yield House(target, tokens, dataset, begun[0].name, begun[1].name)


def ways(method: Method) -> list[Step]:
    """The ways to the fields of a method's request that name something."""
    found = list(named(method.request))
    if method.name.endswith("/GetUsage"):  # its name is a caller's, which admins alone may ask for
        return found
    for field in method.request.fields:
        if field.type == FieldDescriptor.TYPE_STRING and field.name in OPERATION_FIELDS:
            found.append((field,))
    return found


def asked(house: House, method: Method, request: Message, caller: str) -> tuple[str, str]:
    """How a call ends: its status and message."""
    metadata = (("authorization", f"Bearer {house.tokens[caller]}"),)
    with grpc.insecure_channel(house.target, [("grpc.enable_retries", 0)]) as channel:
        multi, data = getattr(channel, method.kind)(method.name), request.SerializeToString()
        streamed = method.kind.startswith("stream")
        try:
            answer = multi(iter([data]) if streamed else data, timeout=60, metadata=metadata)
            if method.kind.endswith("stream"):
                list(answer)
        except grpc.RpcError as error:
            return error.code().name, str(error.details())
    return "OK", ""


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS if ways(method)],
    ids=lambda method: method.name.rpartition("/")[2],
)
def test_what_is_anothers_is_as_none(house: House, method: Method) -> None:
    base = BASE.get(method.request.full_name) or GetMessageClass(method.request)()
    short = method.name.rpartition("/")[2]
    for way in ways(method):
        field, where = way[-1].name, (short, ".".join(one.name for one in way))
        if field in MODEL_FIELDS:
            theirs, nowhere = "cifar10-plain", "quaggas7"
        elif field == "dataset":
            theirs, nowhere = house.dataset, "upload-0123456789abcdef"
        elif short == "ListOperations":  # the name of a collection, and of no operation
            continue
        else:
            theirs, nowhere = house.operation, "operations/0123456789abcdef00000000"
        told = []
        for name in (theirs, nowhere):
            code, message = asked(house, method, with_name(base, way, name), "bob")
            told.append((code, message.replace(name, "?")))
        assert told[0] == told[1], where
        assert where in NOT_LOOKED_FOR or told[0][0] == "NOT_FOUND", where


def test_no_list_tells_of_what_is_anothers(house: House) -> None:
    known = {method.name.rpartition("/")[2] for method in METHODS}
    assert {name for name in known if name.startswith("List")} == {*LISTS, "List"}
    (health,) = [method for method in METHODS if method.name.endswith(".Health/List")]
    code, _ = asked(house, health, GetMessageClass(health.request)(), "bob")
    assert code == "UNIMPLEMENTED"  # else it would list all models
    with house.connect("bob") as bob:
        assert [operation.name for operation in bob.operations()] == [house.shared]
        assert house.dataset not in [dataset.name for dataset in bob.datasets(MODEL)]
        assert [model.name for model in bob.models()] == [MODEL]
        assert bob.health(MODEL) == "SERVING"
        assert bob.health("cifar10-plain") == bob.health("quaggas7") == "SERVICE_UNKNOWN"


def test_owners_and_admins_have_it(house: House) -> None:
    for caller in ("ann", "eve"):
        with house.connect(caller) as service:
            found = {operation.name: operation.metadata for operation in service.operations()}
            assert {house.operation, house.shared} <= found.keys()
            assert found[house.operation].owner == "ann"
            assert found[house.shared].share == ("zoe", "bob")
            (dataset,) = [one for one in service.datasets(MODEL) if one.name == house.dataset]
            assert (dataset.owner, dataset.built_by) == ("ann", ("ann",))
            assert service.audit_report(house.operation).verdict
            assert len(service.samples(house.dataset, count=2)) == 2


def test_what_is_shared_is_read_and_stays(house: House) -> None:
    with house.connect("zoe") as zoe:
        assert zoe.audit_report(house.shared).verdict
        with pytest.raises(OperationNotFound):
            zoe.audit_report(house.operation)
        with pytest.raises(DatasetNotFound):
            zoe.samples(house.dataset)
    with house.connect("bob") as bob:
        assert bob.operation(house.shared).done
        with pytest.raises(PermissionDenied, match="belongs to 'ann', who shares it"):
            bob.operation(house.shared).delete()
        with pytest.raises(PermissionDenied, match="belongs to 'ann', who shares it"):
            bob.operation(house.shared).cancel()


def test_the_same_upload_of_two_callers_is_two(house: House) -> None:
    pixels = np.zeros((4, 32, 32, 1), np.uint8)
    with house.connect("ann") as ann, house.connect("bob") as bob:
        names = [service.upload(pixels, [0] * 4, share=()) for service in (ann, bob)]
        assert names[0] != names[1]
        assert ann.delete_dataset(names[0]) > 0
        assert len(bob.samples(names[1])) == 4
        bob.delete_dataset(names[1])


def test_every_request_about_operations_has_its_field() -> None:
    named_operations = {
        method.name.rpartition("/")[2]
        for method in METHODS
        if any(way[-1].name in OPERATION_FIELDS for way in ways(method))
    }
    service = operations_pb2.DESCRIPTOR.services_by_name["Operations"]
    assert named_operations >= {*service.methods_by_name, "ReadAuditReport"}
