"""The first call of a connection, which finds out at once why TLS does not work: gRPC has the same
status for a server that is starting, and asks it again and again.
"""

from __future__ import annotations

import grpc
import grpc.aio

from striate._rpc.security import Security

_METHOD = "/grpc.health.v1.Health/Check"  # open to everyone; the channel does not repeat it


def first_contact(channel: grpc.Channel, timeout: float | None) -> grpc.RpcError | None:
    """Asks a server whether it is there.

    Args:
        channel: To the server.
        timeout: Seconds.

    Returns:
        Why it cannot be reached; None where it answered, whatever the answer.
    """
    ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        _METHOD, request_serializer=None, response_deserializer=None
    )
    try:
        ask(b"", timeout=timeout)
    except grpc.RpcError as error:
        return error if _code(error) is grpc.StatusCode.UNAVAILABLE else None
    return None


async def async_first_contact(
    channel: grpc.aio.Channel, timeout: float | None
) -> grpc.RpcError | None:
    """Asks a server whether it is there, as `first_contact` does, on an event loop's channel.

    Args:
        channel: To the server.
        timeout: Seconds.

    Returns:
        Why it cannot be reached; None where it answered, whatever the answer.
    """
    ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        _METHOD, request_serializer=None, response_deserializer=None
    )
    try:
        await ask(b"", timeout=timeout)
    except grpc.RpcError as error:
        return error if _code(error) is grpc.StatusCode.UNAVAILABLE else None
    return None


def tls_problem(error: grpc.RpcError, target: str, given: Security) -> str | None:
    """Tells why a connection could not be secured.

    Args:
        error: Of a call.
        target: Address of the server.
        given: What the channel was opened with.

    Returns:
        A sentence with the way on; None where the error has another cause.
    """
    if _code(error) is not grpc.StatusCode.UNAVAILABLE:
        return None
    details = str(getattr(error, "details", str)() or "")
    if "WRONG_VERSION_NUMBER" in details:
        return (
            f"the server at {target} speaks plain text, and this connection TLS: connect without "
            f"tls, ca and certificate, or start the server with --tls-certificate and --tls-key"
        )
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return (
            f"the certificate of the server at {target} is not signed by an authority that this "
            f"connection trusts, or has expired: ca=PATH names the authority's certificate "
            f"({_cause(details)})"
        )
    if "Hostname Verification Check failed" in details:
        return (
            f"the certificate of the server at {target} is for other names: connect by a name or "
            f"address that it holds as subjectAltName, or give the server one that holds this"
        )
    if "failed to connect" in details and "Socket closed" in details:
        return _closed(target, given)
    return f"TLS with {target} failed: {_cause(details)}" if "handshake failed" in details else None


def _closed(target: str, given: Security) -> str:
    """The server hung up before it said anything."""
    if given.credentials is None:
        return (
            f"the server at {target} closes connections in plain text, as one with TLS does: "
            f"pass tls=True, or ca=PATH with its authority's certificate"
        )
    wanted = "another certificate" if given.certified else "a certificate of the caller"
    return (
        f"the server at {target} closes the connection, as one that asks for {wanted} does: pass "
        f"certificate=PATH and key=PATH, signed by an authority that the server trusts"
    )


def _cause(details: str) -> str:
    """What the TLS library says, without what surrounds it."""
    return details.rpartition("last error: ")[2].rpartition("OPENSSL_internal:")[2][:200]


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    code = getattr(error, "code", None)
    return code() if callable(code) else None
