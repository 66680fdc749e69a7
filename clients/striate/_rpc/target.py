"""The address of a server, as people write it."""

from __future__ import annotations

import re

from striate.errors import invalid

DEFAULT_PORT = 50051

_SCHEME = re.compile(r"^(https?|grpcs?|tcp)://", re.IGNORECASE)
_RESOLVER = re.compile(r"^(unix|unix-abstract|dns|ipv4|ipv6|vsock|xds|passthrough):")


def check_target(target: object) -> str:
    """Checks an address before gRPC tries for seconds to reach it.

    Args:
        target: "host:port", with an IPv6 host in brackets, or one of gRPC's own forms that begin
            with a resolver's name, such as "unix:/run/striate.sock" or "dns:///name:port".

    Returns:
        The address.

    Raises:
        InvalidArgument: It has no port, is a URL, or is no text; the error says what is meant.
    """
    if not isinstance(target, str) or not target:
        raise invalid("target", f'must be "host:port", is {target!r}')
    if _RESOLVER.match(target):
        return target
    bare = _SCHEME.sub("", target).split("/")[0]
    if bare != target:
        raise invalid("target", f'is the HOST:PORT of a server, "{_with_port(bare)}", no URL')
    host, colon, port = target.rpartition(":")
    if target.count(":") > 1 and not target.startswith("["):
        raise invalid("target", f'needs an IPv6 host in brackets, "[{host}]:{port}"; is {target!r}')
    if not colon or target.endswith("]"):
        raise invalid("target", f'has no port: HOST:PORT is meant, "{_with_port(target)}"')
    if not host or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise invalid("target", f"must be HOST:PORT with a port from 1 to 65535, is {target!r}")
    return target


def _with_port(host: str) -> str:
    has_port = re.search(r":\d+$", host) is not None
    return host if has_port else f"{host.rstrip(':')}:{DEFAULT_PORT}"
