"""The server's certificate and key, and whose clients' certificates are taken: PEM files, checked
before they are used.
"""

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from service.auth.reread import Reread

log = structlog.get_logger("striate")


@dataclass(frozen=True)
class Pems:
    """What the files hold.

    Attributes:
        certificate: the server's, and those between it and its authority's.
        key: the certificate's private key.
        client_ca: certificates of the authorities of clients; None: clients show none.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None = None


def watched(certificate: Path, key: Path, client_ca: Path | None) -> Reread[Pems]:
    """Read the files, and again when they change.

    Args:
        certificate, key, client_ca: their paths.

    Returns:
        What gives their content.

    Raises:
        FilesUnusable: one cannot be read or is no PEM file of its kind, or the key is not the
            certificate's.
    """
    if _others_may_read(key):
        log.warning(
            "every user of this machine can read the TLS key: chmod 600 it", tls_key=str(key)
        )
    paths = [path for path in (certificate, key, client_ca) if path is not None]
    return Reread(paths, lambda: read(certificate, key, client_ca), "TLS certificates")


def read(certificate: Path, key: Path, client_ca: Path | None) -> Pems:
    """Read and check the files.

    Args:
        certificate, key, client_ca: their paths.

    Returns:
        Their content.

    Raises:
        OSError: one cannot be read, or changed meanwhile.
        ValueError: one is no PEM file of its kind, or the key is not the certificate's.
    """
    found = _read(certificate, key, client_ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise ValueError(
            f"tls_certificate {certificate} and tls_key {key} must be a certificate and its "
            f"private key in PEM ({error.reason or error})"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"tls_client_ca {client_ca} must hold certificates in PEM ({error.reason or error})"
            ) from error
    if _read(certificate, key, client_ca) != found:
        raise OSError(f"{certificate} and {key} changed while they were read")
    return found


def _read(certificate: Path, key: Path, client_ca: Path | None) -> Pems:
    return Pems(
        certificate.read_bytes(), key.read_bytes(), client_ca.read_bytes() if client_ca else None
    )


def _no_password() -> str:
    """Without this, OpenSSL would ask the terminal."""
    raise ValueError("tls_key must not be encrypted: nobody is there to be asked for its password")


def _others_may_read(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & 0o004)
    except OSError:
        return False  # what reads it will say so


def subject_of(connection: Mapping[str, Iterable[bytes]]) -> str:
    """Read whose certificate a connection's client has shown.

    Args:
        connection: gRPC's authentication context of a call.

    Returns:
        The subject as RFC 4514 writes it, such as "CN=ann,O=Lab"; "" where none was shown.
    """
    return b"".join(connection.get("x509_subject", ())).decode(errors="replace")
