"""A server in this process that answers every call with something that a test can compute
itself.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.longrunning import operations_pb2  # type: ignore[import-untyped, unused-ignore]
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray
from PIL import Image

import striate
from striate.v1 import exemplars_pb2, types_pb2

CLASSES = ("cat", "sports-car", "crane", "crane")
SHAPE = (3, 4, 5)  # the fake model's input
DIGEST = "ab" * 32
DATASET_SIZE = 150
LONG = 20.0  # seconds after which a test that hangs has failed


@dataclass(frozen=True)
class Seen:
    """A call that reached the server."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]


@dataclass
class Fake:
    """What the server saw, and what it is told to do."""

    calls: list[Seen] = field(default_factory=list)
    failures: deque[Callable[[grpc.ServicerContext], None]] = field(
        default_factory=deque
    )  # one is used up by each call
    on_call: Callable[[str, grpc.ServicerContext], None] = lambda method, context: None
    operations: dict[str, Any] = field(default_factory=dict)
    operation_script: deque[Any] = field(default_factory=deque)  # states that the next waits return
    samples_a_message: int = 1024  # as if more would not fit
    bad_samples: set[int] = field(default_factory=set)
    digests: deque[str] = field(default_factory=deque)
    warnings: list[str] = field(default_factory=list)  # of every attack
    converse: Callable[[Any, grpc.ServicerContext], Any] | None = (
        None  # what AttackStream does, instead of answering in order
    )
    uploaded: list[Any] = field(default_factory=list)  # messages of UploadDataset
    report_parts: Callable[[Any, grpc.ServicerContext], Any] | None = (
        None  # what ReadAuditReport sends, instead of a little file
    )
    before_unit: Callable[[int, grpc.ServicerContext], None] = lambda unit, context: (
        None
    )  # what VisualizeLayer does before each
    exported: bytes = b"a bundle"  # whose digest ExportModel sends behind the bytes "a bundle"
    units_withheld: int = 0  # that VisualizeLayer promises and never sends
    target: str = ""
    version: str = f"{striate.__version__}.post9"  # which the client understands

    def requests(self, method: str) -> list[Any]:
        return [seen.request for seen in self.calls if seen.method == method]

    def provenance(self, request_id: str) -> types_pb2.Provenance:
        digest = self.digests.popleft() if self.digests else DIGEST
        return types_pb2.Provenance(
            model="tiny", model_digest=digest, service_version="7.8.9", request_id=request_id
        )


def png(height: int, width: int, value: int) -> bytes:
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def failure(
    code: grpc.StatusCode, message: str, *details: Message, pushback: int | None = None
) -> Callable[[grpc.ServicerContext], None]:
    """Ends a call with a status and google.rpc details."""

    def abort(context: grpc.ServicerContext) -> None:
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            status.details.add().Pack(detail)
        trailing: list[tuple[str, str | bytes]] = [
            ("grpc-status-details-bin", status.SerializeToString())
        ]
        if pushback is not None:
            trailing.append(("grpc-retry-pushback-ms", str(pushback)))
        context.set_trailing_metadata(tuple(trailing))
        context.abort(code, message)

    return abort


def reason(word: str) -> Message:
    info: Message = error_details_pb2.ErrorInfo(reason=word, domain="striate")
    return info


def block_until_cancelled(
    context: grpc.ServicerContext, started: Callable[[], object], cancelled: threading.Event
) -> None:
    """Calls `started`, then waits; `cancelled` is set only if the call was ended from the other
    side meanwhile.
    """
    ended = threading.Event()
    context.add_callback(ended.set)
    started()
    if ended.wait(LONG):
        cancelled.set()
    context.abort(grpc.StatusCode.CANCELLED, "nobody waits for the answer")


def rows_of(batch: types_pb2.ImageBatch) -> list[bytes]:
    """The bytes of every image of a batch."""
    if batch.encoded:
        return list(batch.encoded)
    size = len(batch.tensor.data) // batch.tensor.shape[0]
    return [
        batch.tensor.data[start : start + size] for start in range(0, len(batch.tensor.data), size)
    ]


def favourite(image: bytes) -> int:
    """The class that the fake model sees in an image."""
    return int(np.frombuffer(image, np.uint8).sum(dtype=np.int64)) % len(CLASSES)


def adversarial(seed: int, row: int) -> NDArray[np.float32]:
    """The image that the fake attack answers for an absolute row: levels of 1/255, so that both
    formats can carry it.
    """
    return np.random.default_rng((seed, row)).integers(0, 256, SHAPE).astype(
        np.float32
    ) / np.float32(255)


def running(name: str, images_done: int) -> Any:
    """The state of an index build under way."""
    operation = operations_pb2.Operation(name=name)
    operation.metadata.Pack(
        exemplars_pb2.BuildExemplarIndexMetadata(
            model="tiny",
            dataset="digits",
            layers=["stem"],
            images_done=images_done,
            images_total=DATASET_SIZE,
        )
    )
    return operation


def finished(name: str) -> Any:
    """The state of an index build that succeeded."""
    operation = running(name, DATASET_SIZE)
    operation.done = True
    provenance = types_pb2.Provenance(model="tiny", model_digest=DIGEST)
    operation.response.Pack(
        exemplars_pb2.BuildExemplarIndexResponse(
            images=DATASET_SIZE, units=2, provenance=provenance
        )
    )
    return operation


def failed(name: str, code: grpc.StatusCode, message: str, *details: Message) -> Any:
    """The state of an index build that failed."""
    operation = running(name, 10)
    operation.done = True
    operation.error.code, operation.error.message = code.value[0], message
    for detail in details:
        operation.error.details.add().Pack(detail)
    return operation


def request_id(context: grpc.ServicerContext) -> str:
    return next(str(value) for key, value in context.invocation_metadata() if key == "x-request-id")
