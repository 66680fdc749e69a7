"""The error table: every reason of the service becomes its exception, with the details that came
with it.
"""

import copy
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]

import striate
from striate.errors import from_status
from striate.v1 import errors_pb2
from tests.client.fakes.fakes_server import Fake, failure, reason

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "word", "kind", "also"),
    [
        (Code.NOT_FOUND, "MODEL_NOT_FOUND", striate.ModelNotFound, striate.NotFound),
        (Code.NOT_FOUND, "LAYER_NOT_FOUND", striate.LayerNotFound, LookupError),
        (Code.NOT_FOUND, "DATASET_NOT_FOUND", striate.DatasetNotFound, striate.NotFound),
        (Code.NOT_FOUND, "OPERATION_NOT_FOUND", striate.OperationNotFound, striate.NotFound),
        (
            Code.FAILED_PRECONDITION,
            "INDEX_NOT_FOUND",
            striate.IndexNotFound,
            striate.FailedPrecondition,
        ),
        (Code.FAILED_PRECONDITION, "MODEL_BUSY", striate.ModelBusy, striate.FailedPrecondition),
        (Code.FAILED_PRECONDITION, "NOT_FINITE", striate.NotFinite, striate.StriateError),
        (Code.INVALID_ARGUMENT, "INVALID_FIELD", striate.InvalidArgument, ValueError),
        (Code.INVALID_ARGUMENT, "BAD_IMAGE", striate.BadImage, striate.InvalidArgument),
        (Code.INTERNAL, "INTERNAL", striate.Internal, striate.StriateError),
        (Code.NOT_FOUND, "A_LATER_SERVERS_WORD", striate.NotFound, striate.StriateError),
        (Code.CANCELLED, "", striate.Cancelled, striate.StriateError),
        (Code.ABORTED, "", striate.Aborted, striate.StriateError),
        (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", striate.DeadlineExceeded, TimeoutError),
        (Code.UNIMPLEMENTED, "", striate.Unimplemented, striate.StriateError),
        (Code.DATA_LOSS, "", striate.DataLoss, striate.StriateError),
        (Code.PERMISSION_DENIED, "", striate.PermissionDenied, PermissionError),
        (Code.UNAUTHENTICATED, "UNAUTHENTICATED", striate.Unauthenticated, PermissionError),
    ],
)
def test_reason_and_code_become_an_exception(
    fake: Fake,
    service: striate.Service,
    code: grpc.StatusCode,
    word: str,
    kind: type[striate.StriateError],
    also: type[Exception],
) -> None:
    fake.failures.append(failure(code, "it did not work", *([reason(word)] if word else [])))
    with pytest.raises(striate.StriateError, match="it did not work") as caught:
        service.models()
    assert type(caught.value) is kind
    assert isinstance(caught.value, also)
    assert (caught.value.code, caught.value.reason) == (code, word)
    assert caught.value.request_id == fake.calls[-1].metadata["x-request-id"]


def test_every_reason_of_the_contract_has_an_exception_of_its_own() -> None:
    kinds = {}
    for name, _ in errors_pb2.ErrorReason.items():
        if name != "ERROR_REASON_UNSPECIFIED":
            info = reason(name.removeprefix("ERROR_REASON_"))
            status = status_pb2.Status(code=Code.UNKNOWN.value[0], message="no")
            status.details.add().Pack(info)
            kind = type(from_status(status))
            assert getattr(striate, kind.__name__) is kind, "users can catch it"
            kinds[name] = kind
    assert len(set(kinds.values())) == len(kinds) > 20


def test_exhaustion_that_must_not_be_retried(fake: Fake, service: striate.Service) -> None:
    for word, kind in (
        ("QUEUE_FULL", striate.QueueFull),
        ("OUT_OF_MEMORY", striate.OutOfMemory),
        ("", striate.ResourceExhausted),
    ):
        fake.failures.append(
            failure(Code.RESOURCE_EXHAUSTED, "no", *([reason(word)] if word else []), pushback=-1)
        )
        with pytest.raises(striate.ResourceExhausted) as caught:
            service.models()
        assert type(caught.value) is kind
    assert len(fake.calls) == 3


def test_details_are_read(fake: Fake, service: striate.Service) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="pgd.steps", description="is 0, must be from 1 to 10000"
    )
    retry = error_details_pb2.RetryInfo(
        retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)
    )
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    fake.failures.append(failure(Code.INVALID_ARGUMENT, "no", bad, retry, reason("INVALID_FIELD")))
    with pytest.raises(striate.InvalidArgument) as caught:
        service.models()
    assert caught.value.fields == {"pgd.steps": "is 0, must be from 1 to 10000"}
    assert caught.value.retry_after == 1.5


def test_broken_details_do_not_hide_the_error(fake: Fake, service: striate.Service) -> None:
    def abort(context: grpc.ServicerContext) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(Code.NOT_FOUND, "gone")

    fake.failures.append(abort)
    with pytest.raises(striate.NotFound, match="gone"):
        service.models()


def test_a_stream_raises_the_same_errors(fake: Fake, net: striate.Model) -> None:
    fake.failures.append(failure(Code.NOT_FOUND, "no layer", reason("LAYER_NOT_FOUND")))
    with pytest.raises(striate.LayerNotFound, match="no layer") as caught:
        net.visualize("nowhere:1")
    assert caught.value.request_id == fake.calls[-1].metadata["x-request-id"]


@pytest.mark.parametrize(
    "kind",
    [striate.InvalidArgument, striate.DeadlineExceeded, striate.Unavailable, striate.ModelNotFound],
)
def test_errors_survive_other_processes(kind: type[striate.StriateError]) -> None:
    sent = kind("why", reason="WORD", fields={"a": "b"}, request_id="1", retry_after=2.0)
    arrived: Any = copy.deepcopy(sent)  # by the same protocol that carries them there
    assert str(arrived) == "why"
    assert vars(arrived) == vars(sent)


def test_nobody_at_home() -> None:
    with striate.connect("127.0.0.1:1") as service, pytest.raises(striate.Unavailable) as caught:
        service.models()
    assert isinstance(caught.value, ConnectionError)


def test_a_closed_connection_says_so(fake: Fake) -> None:
    with striate.connect(fake.target) as service:
        net = service.model("tiny")
    with pytest.raises(striate.FailedPrecondition, match="closed"):
        net.filters()


def test_a_connection_belongs_to_its_process(
    service: striate.Service, net: striate.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)  # as a forked process would find
    for call in (
        service.models,
        net.filters,
        lambda: next(net.attack_stream([b"x"])),
        lambda: service.upload([b"x"], 1),
    ):
        with pytest.raises(striate.FailedPrecondition, match="belongs to process"):
            call()


def test_a_connection_needs_a_target() -> None:
    with pytest.raises(striate.InvalidArgument, match="target"):
        striate.connect("")
