"""Where a result came from."""

from __future__ import annotations

from dataclasses import dataclass

from striate.errors.user_warnings import warn_user
from striate.v1 import types_pb2


@dataclass(frozen=True)
class Provenance:
    """Where a result came from, so that it can be made again and found in the server's log.

    Attributes:
        model: Name of the model that gave the result, "" if none took part.
        model_digest: SHA-256 of the model's weights and preprocessing, in hexadecimal.
        service_version: Version of the server.
        request_id: The request's name in the server's log.
        warnings: Why the model's answers may not be what they seem, whatever was asked. Each is
            issued as a StriateWarning, too.
    """

    model: str
    model_digest: str
    service_version: str
    request_id: str
    warnings: tuple[str, ...] = ()

    @staticmethod
    def read(message: types_pb2.Provenance) -> Provenance:
        """Reads the message of the contract, and issues its warnings to the user's code."""
        warn_user(message.warnings)
        return Provenance(
            message.model,
            message.model_digest,
            message.service_version,
            message.request_id,
            tuple(message.warnings),
        )
