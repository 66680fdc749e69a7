"""What a caller may have, has and has had."""

from __future__ import annotations

from dataclasses import dataclass

from striate._formats.columns import Columns
from striate.v1 import usage_pb2


@dataclass(frozen=True)
class Cap:
    """Something of which a caller may have so much at a time.

    Attributes:
        name: What is counted, such as "rows_in_flight".
        limit: The most that they may have, None for any number.
        used: What they have.
    """

    name: str
    limit: float | None
    used: float


@dataclass(frozen=True)
class Usage:
    """What a caller may have, has and has had, and what waits before them.

    Attributes:
        name: Whose usage it is; "" where the server asks nobody for keys: then it is that of this
            connection.
        weight: How much of the device they get beside others, relative to these.
        caps: All caps of the server.
        requests: That were let in since the server began or first saw them; 0 without keys.
        image_gradients: Images times gradients since then.
        device_seconds: Seconds of the device since they last were away for long.
        rows: Of its passes, since then.
        waiting_jobs: That wait for the device.
        running_jobs: That it works on.
        others_waiting_jobs: Jobs of others that wait.
        others_running_jobs: Jobs of others that the device works on.
        callers: That want the device now.
        oldest_wait_seconds: Seconds that the oldest of their waiting jobs has been waiting.
    """

    name: str
    weight: float
    caps: tuple[Cap, ...]
    requests: int
    image_gradients: int
    device_seconds: float
    rows: int
    waiting_jobs: int
    running_jobs: int
    others_waiting_jobs: int
    others_running_jobs: int
    callers: int
    oldest_wait_seconds: float

    @staticmethod
    def read(message: usage_pb2.GetUsageResponse) -> Usage:
        """Reads the message of the contract.

        Args:
            message: The server's message.
        """
        caps = tuple(
            Cap(cap.name, cap.limit if cap.HasField("limit") else None, cap.used)
            for cap in message.caps
        )
        return Usage(
            message.name,
            message.weight,
            caps,
            message.requests,
            message.image_gradients,
            message.device_seconds,
            message.rows,
            message.waiting_jobs,
            message.running_jobs,
            message.others_waiting_jobs,
            message.others_running_jobs,
            message.callers,
            message.oldest_wait_seconds,
        )


def _number(value: float | None) -> str:
    return "any" if value is None else f"{value:g}"


CAP_COLUMNS: Columns[Cap] = {
    "cap": lambda cap: cap.name.replace("_", " "),
    "used": lambda cap: f"{cap.used:.4g}",
    "limit": lambda cap: _number(cap.limit),
}
