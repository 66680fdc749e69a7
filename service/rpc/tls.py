"""TLS of the server: its certificate may be replaced while it serves."""

import grpc

from service.auth.certificates import Pems
from service.auth.reread import Reread


def server_credentials(files: Reread[Pems]) -> grpc.ServerCredentials:
    """Make what a port needs to speak TLS.

    gRPC asks at every handshake for a new certificate; connections that are open keep theirs.
    Clients must show a certificate where there are authorities of clients, and are asked for none
    otherwise: gRPC for Python knows nothing in between.

    Args:
        files: the certificate, key and authorities.

    Returns:
        The credentials.
    """
    given = files.current()
    required = given.client_ca is not None

    def changed() -> "grpc.ServerCertificateConfiguration | None":
        nonlocal given
        found = files.current()
        if found is given:
            return None  # keep the one that is in use
        given = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given),
        changed,  # type: ignore[arg-type, unused-ignore]
        required,
    )


def _configuration(pems: Pems) -> "grpc.ServerCertificateConfiguration":
    return grpc.ssl_server_certificate_configuration(
        [(pems.key, pems.certificate)], root_certificates=pems.client_ca
    )
