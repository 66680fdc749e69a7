"""How a connection is kept from others: TLS, a certificate and a token of the caller's."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from striate._rpc.checks import flag
from striate.errors import invalid

TOKEN_VARIABLE = "STRIATE_TOKEN"

_LOOPBACK = re.compile(r"^(localhost|127(\.\d+){3}|\[::1\]|ipv4:127\..*|ipv6:\[::1\].*|unix.*)$")
_TOKEN = re.compile(r"[!-~]+")
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class Security:
    """What a channel is opened with.

    Attributes:
        credentials: Of TLS, None for plain text.
        certified: Whether the caller shows a certificate.
        metadata: Sent with every call: the token, if there is one.
    """

    credentials: grpc.ChannelCredentials | None = None
    certified: bool = False
    metadata: tuple[tuple[str, str], ...] = ()


PLAIN = Security()


def security(
    target: str,
    tls: bool | None = None,
    ca: str | os.PathLike[str] | None = None,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    token: str | None = None,
    credentials: grpc.ChannelCredentials | None = None,
) -> Security:
    """Reads the files and checks what fits together.

    What is None is as the environment says in STRIATE_TLS, STRIATE_CA, STRIATE_CERTIFICATE,
    STRIATE_KEY and STRIATE_TOKEN.

    Args:
        target: Address of the server.
        tls: Whether to speak TLS; None also for yes where `ca` or `certificate` is given.
        ca: PEM file of the authority of the server's certificate, None for those that gRPC trusts.
        certificate: PEM file of the caller's own certificate.
        key: PEM file of its private key.
        token: The caller's token.
        credentials: gRPC's own credentials instead.

    Returns:
        What to open the channel with.

    Raises:
        InvalidArgument: A file cannot be used, arguments contradict each other, or the token would
            travel in the clear to another machine.
    """
    if credentials is not None:
        if tls is not None or (ca, certificate, key) != (None, None, None):
            raise invalid("credentials", "say all of TLS: leave out tls, ca, certificate and key")
        return Security(credentials, True, _authorization(token))
    if tls is False and (ca, certificate, key) != (None, None, None):
        raise invalid("tls", "must not be False where ca, certificate or key is given")
    if tls is not False:
        ca = ca or os.environ.get("STRIATE_CA") or None
        if certificate is None and key is None:
            certificate = os.environ.get("STRIATE_CERTIFICATE") or None
            key = os.environ.get("STRIATE_KEY") or None
    if tls is None:
        tls = bool(ca or certificate or key) or _switch("STRIATE_TLS")
    if not flag("tls", tls):
        authorization = _authorization(token)
        _check_secret(target, authorization)
        return Security(None, False, authorization)
    return Security(
        _credentials(ca, certificate, key), certificate is not None, _authorization(token)
    )


def token_metadata(
    target: str, security: Security, token: str | None
) -> tuple[tuple[str, str], ...]:
    """Makes the metadata that carries somebody's token over a channel that is open.

    Args:
        target: Address of the server.
        security: What the channel was opened with.
        token: The token; None and "" for none.

    Returns:
        (key, value) pairs.

    Raises:
        InvalidArgument: The token is none, or would travel in the clear to another machine.
    """
    authorization = _authorization(token) if token else ()
    if security.credentials is None:
        _check_secret(target, authorization)
    return authorization


def _check_secret(target: str, authorization: tuple[tuple[str, str], ...]) -> None:
    """Refuses a token in plain text beyond this machine."""
    if authorization and not _LOOPBACK.match(target.rpartition(":")[0] or target):
        raise invalid(
            "token",
            f"would travel in the clear to {target}: pass tls=True or ca=PATH (--tls or "
            f"--ca FILE on the command line)",
        )


def _switch(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in (*_YES, *_NO):
        raise invalid(variable, f"must be 1 or 0, is {value!r}")
    return value in _YES


def _authorization(token: str | None) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a token. The errors do not show it."""
    if token is None:
        token = os.environ.get(TOKEN_VARIABLE) or None
    if token is None:
        return ()
    if not isinstance(token, str) or not _TOKEN.fullmatch(token.strip()):
        raise invalid("token", "must be a token as the server's keeper handed it out: one word")
    return (("authorization", f"Bearer {token.strip()}"),)


def _credentials(
    ca: str | os.PathLike[str] | None,
    certificate: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
) -> grpc.ChannelCredentials:
    roots = None if ca is None else _read("ca", ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError as error:
            raise invalid(
                "ca", f"{ca} must hold certificates in PEM ({error.reason or error})"
            ) from None
    if (certificate is None) != (key is None):
        lone, other = ("certificate", "key") if key is None else ("key", "certificate")
        raise invalid(lone, f"needs {other} beside it")
    if certificate is None or key is None:
        return grpc.ssl_channel_credentials(roots)
    chain, private = _read("certificate", certificate), _read("key", key)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise invalid(
            "certificate",
            f"{certificate} and {key} must be a certificate and its private key in PEM "
            f"({error.reason or error})",
        ) from None
    return grpc.ssl_channel_credentials(roots, private, chain)


def _read(field: str, path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise invalid(field, f"cannot be read: {error}") from None


def _no_password() -> str:
    """Without this, OpenSSL would ask the terminal."""
    raise invalid("key", "must not be encrypted")
