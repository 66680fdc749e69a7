"""The table of errors: every reason of the contract has a cause; details name what is at fault."""

import asyncio

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from service.auth.quota import QuotaExceeded, RateExceeded
from service.datasets.uploads import UploadTooLarge
from service.engine.job import OutOfMemory, QueueFull
from service.imaging import BadImage
from service.imaging.decoding import PoolBusy
from service.models.zoo import NoRoom, UnknownModel, UnknownWeights
from service.operations import TooManyOperations
from service.rpc.doors.admission import TooManyCalls
from service.rpc.errors import INTERNAL_ROW, PUSHBACK, TABLE, Retry, abort, status_of
from service.rpc.validation import InvalidField
from service.state import StorageFull
from service.visualization.errors import UnfitObjective
from striate.v1 import errors_pb2

UNSPECIFIED = errors_pb2.ERROR_REASON_UNSPECIFIED  # no error has it


def detail(status: status_pb2.Status, message: Message) -> Message:
    (packed,) = [one for one in status.details if one.Is(message.DESCRIPTOR)]
    packed.Unpack(message)
    return message


def test_every_reason_of_the_contract_is_given_by_some_error() -> None:
    given = {row.reason for row in TABLE.values()} | {INTERNAL_ROW.reason, UNSPECIFIED}
    assert given == set(errors_pb2.ErrorReason.values())


def test_no_row_hides_behind_an_earlier_one() -> None:
    kinds = list(TABLE)
    hidden = [
        (late, early)
        for place, late in enumerate(kinds)
        for early in kinds[:place]
        if issubclass(late, early)
    ]
    assert not hidden


@pytest.mark.parametrize(
    ("error", "reason", "field"),
    [
        (InvalidField("steps", "is 0"), "INVALID_FIELD", "steps"),
        (BadImage("no image"), "BAD_IMAGE", "images"),
        (UnfitObjective("style(f6): has no rows"), "INVALID_FIELD", "composed"),
        (UnknownWeights("m", "w", ["v1"]), "INVALID_FIELD", "weights"),
    ],
)
def test_what_is_wrong_with_a_request_names_its_field(
    error: Exception, reason: str, field: str
) -> None:
    status = status_of(error, "r1")
    assert status.code == code_pb2.INVALID_ARGUMENT
    info = error_details_pb2.ErrorInfo()
    detail(status, info)
    assert (info.reason, info.domain, info.metadata["request_id"]) == (reason, "striate", "r1")
    bad = error_details_pb2.BadRequest()
    detail(status, bad)
    (violation,) = bad.field_violations
    assert violation.field == field
    assert violation.description


def test_names_that_look_like_it_are_in_the_metadata() -> None:
    info = error_details_pb2.ErrorInfo()
    detail(status_of(UnknownModel("resnet19", ["resnet18"]), ""), info)
    assert (info.reason, info.metadata["nearest"]) == ("MODEL_NOT_FOUND", "resnet18")


def test_a_full_queue_says_when_to_come_back() -> None:
    retry = error_details_pb2.RetryInfo()
    detail(status_of(QueueFull(9, 1.5), ""), retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_an_error_that_nobody_foresaw_is_not_shown() -> None:
    status = status_of(KeyError("secret"), "r2")
    assert status.code == code_pb2.INTERNAL
    assert "secret" not in str(status)
    assert "r2" in status.message


RETRIED = {  # an error of each kind that is a refusal for load
    QueueFull: QueueFull(9, 1.5),
    TooManyOperations: TooManyOperations("256"),
    TooManyCalls: TooManyCalls(1024),
    PoolBusy: PoolBusy(9, 9, 9, 1.5),
    StorageFull: StorageFull("full"),
    QuotaExceeded: QuotaExceeded("ann", "operations", 3, 3, 10.0),
    RateExceeded: RateExceeded("ann", "requests_per_second", 5, 5, 0.2),
}
FINAL = {OutOfMemory, UploadTooLarge, NoRoom}  # the same request will never be taken


def test_every_refusal_for_load_says_when_to_come_back() -> None:
    refusals = {
        kind for kind, row in TABLE.items() if row.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    }
    assert refusals == RETRIED.keys() | FINAL
    for kind in FINAL:
        assert TABLE[kind].retry is Retry.NEVER
    for error in RETRIED.values():
        retry = error_details_pb2.RetryInfo()
        detail(status_of(error, ""), retry)
        assert retry.retry_delay.ToMilliseconds() > 0


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (QueueFull(9, 1.5), "1500"),
        (TooManyCalls(1024), "1000"),
        (TooManyOperations("256"), "-1"),  # they take minutes: nobody is to wait unasked
        (RateExceeded("ann", "requests_per_second", 5, 5, 0.2), "200"),
        (QuotaExceeded("ann", "operations", 3, 3, 10.0), "-1"),
        (OutOfMemory("no"), "-1"),
        (BadImage("no"), None),
    ],
)
def test_automatic_retries_hear_the_same(error: Exception, pushback: str | None) -> None:
    class Call:
        sent: dict[str, str | bytes]

        async def abort(self, *_: object, trailing_metadata: tuple[tuple[str, str], ...]) -> None:
            self.sent = dict(trailing_metadata)

    call = Call()
    asyncio.run(abort(call, error, "r", ()))  # type: ignore[arg-type]
    assert call.sent.get(PUSHBACK) == pushback
