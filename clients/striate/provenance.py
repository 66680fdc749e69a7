"""Where a result came from."""

from __future__ import annotations

from dataclasses import dataclass

from striate.v1 import types_pb2


@dataclass(frozen=True)
class Provenance:
    """Where a result came from, so that it can be made again and found in the server's log.

    Attributes:
        model: Name of the model that gave the result, "" if none took part.
        model_digest: SHA-256 of the model's weights and preprocessing, in hexadecimal.
        service_version: Version of the server.
        request_id: The request's name in the server's log.
    """

    model: str
    model_digest: str
    service_version: str
    request_id: str

    @staticmethod
    def read(message: types_pb2.Provenance) -> Provenance:
        """Reads the message of the contract."""
        return Provenance(
            message.model, message.model_digest, message.service_version, message.request_id
        )
