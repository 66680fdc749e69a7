"""Whether an address is this machine's own, or one that others can reach."""

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens on an address.

    Args:
        host: a name or an address, an IPv6 one with or without brackets.

    Returns:
        Whether all that it stands for are loopback addresses; False for a name that is not known.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(_is_loopback(str(address[0])) for *_, address in found)


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    inside = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (inside or found).is_loopback
