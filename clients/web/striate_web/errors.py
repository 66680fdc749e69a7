"""What went wrong, in words that a page may show."""

from __future__ import annotations

from dataclasses import dataclass

from striate import StriateError

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_TITLES = {
    400: "That cannot be asked",
    401: "Sign in first",
    403: "Not for this token",
    404: "There is no such page",
    405: "There is no such page",
    409: "Not as things stand",
    413: "Too large",
    429: "Too much at once",
    499: "Stopped",
    501: "The server cannot do that",
    503: "The server is not there",
    504: "That took too long",
}
_UNKNOWN = "Something went wrong"


@dataclass(frozen=True)
class Problem:
    """What a page says about an error.

    Attributes:
        status: Of HTTP.
        title: In a few words.
        message: A sentence.
        request_id: Name of the request in the gRPC server's log, "" for none.
        retry_after: Seconds after which it is worth trying again, None if nobody knows.
    """

    status: int
    title: str
    message: str
    request_id: str = ""
    retry_after: int | None = None


def in_words(error: StriateError) -> Problem:
    """Words an error of the client.

    Args:
        error: The error.

    Returns:
        What a page says. What the server keeps to its log stays there.
    """
    status = _STATUS.get(error.code.name, 500)
    message = str(error) if status != 500 else "The server failed; its log has the request."
    wait = None if error.retry_after is None else max(1, round(error.retry_after))
    return Problem(status, title(status), message, error.request_id, wait)


def title(status: int) -> str:
    """Words a status of HTTP in a few words."""
    return _TITLES.get(status, _UNKNOWN)
