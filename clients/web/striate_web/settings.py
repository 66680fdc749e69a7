"""What a microscope is started with."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

_ORIGIN = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?")
_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """What a microscope is started with.

    Attributes:
        target: Address of the gRPC server, "host:port".
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        tls: Whether TLS is spoken with the gRPC server, None for as `ca` and `certificate` say.
        ca: PEM file of the authority of its certificate, None for the public ones.
        certificate: PEM file of the microscope's own certificate for it, None for none.
        key: PEM file of that certificate's private key.
        names: Names by which browsers may call the microscope, beside this machine's own; others
            are refused, so that no foreign page can lend it its name.
        secure: Whether browsers reach it by https, through a proxy that ends TLS: cookies then
            travel by https alone.
        timeout: Seconds that a page may take, pictures on their way excepted.
        frames: Origins of the pages that may show the microscope in a frame, such as a notebook's,
            "http://localhost:8888"; no other page may.

    Raises:
        ValueError: An origin is none.
    """

    target: str
    host: str = "127.0.0.1"
    port: int = 8080
    tls: bool | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    names: tuple[str, ...] = field(default=())
    secure: bool = False
    timeout: float = 120.0
    frames: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for origin in self.frames:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"a page that may show the microscope is told by its origin, such as "
                    f"http://localhost:8888, not {origin!r}"
                )

    @property
    def url_host(self) -> str:
        """The address as it stands in a URL."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return self.host
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def allowed_names(self) -> list[str]:
        """The names by which browsers may call it."""
        return [*_NAMES, self.url_host, *self.names]
