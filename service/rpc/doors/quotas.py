"""What a request counts as by which its caller's quota is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import Message

from service.auth.identity import Identity
from service.auth.usage import Meter
from service.rpc.wire.pixel_counts import image_batches
from striate.v1 import visualize_pb2

# Neither takes anything, and whoever waits for an operation asks again and again.
_FREE = (
    "/grpc.health.",
    "/google.longrunning.Operations/WaitOperation",
    "/striate.v1.UsageService/",
)


class Quotas:
    """Counts requests, and refuses what is more than a caller may have. Where nobody is told apart
    nothing is counted.

    Args:
        meter: of what callers use.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def request(self, method: str, by: Identity) -> None:
        """Count a call in, before its request is read.

        Args:
            method: its full name.
            by: who makes it.

        Raises:
            RateExceeded: they have made as many of late as they may.
        """
        if by.name and not method.startswith(_FREE):
            self._meter.request(by)

    @contextmanager
    def rows(self, by: Identity, request: Any) -> Iterator[None]:
        """Count the rows of a request while it is being answered.

        Args:
            by: who makes it.
            request: decoded; what is no message, such as a stream of them, has no rows here.

        Raises:
            QuotaExceeded: they would have more in flight than they may.
        """
        if not by.name or not isinstance(request, Message):
            yield
            return
        with self._meter.rows(by, rows_of(request)):
            yield


def rows_of(request: Message) -> int:
    """Count the images that a request brings, and the pictures that it asks for by name.

    Args:
        request: of any kind.

    Returns:
        Their number; 0 for requests of which it cannot be told beforehand.
    """
    count = sum(
        len(batch.encoded) or next(iter(batch.tensor.shape), 0)
        for _, batch in image_batches(request)
    )
    if isinstance(request, visualize_pb2.VisualizeRequest):
        units = len(request.objectives) + len(request.composed)
        count += units * max(1, request.variants)
    return count
