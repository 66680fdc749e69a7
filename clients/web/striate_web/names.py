"""Addresses of networks, layers and units, and back: each name is one part of the path, with every
odd character percent-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from starlette.exceptions import HTTPException

OWN = "-"  # below this part are the pages that are no network's


def address(*parts: str | int, query: Mapping[str, object] | None = None) -> str:
    """Makes an address.

    Args:
        parts: The parts of the path.
        query: Settings behind it; those that are None or "" are left out.

    Returns:
        The path and query.
    """
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    kept = {key: value for key, value in (query or {}).items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def own(*parts: str | int, query: Mapping[str, object] | None = None) -> str:
    """Makes the address of a page that is no network's: "/-/..."; arguments as for `address`."""
    return address(OWN, *parts, query=query)


def parts(scope: Mapping[str, Any]) -> list[str]:
    """Reads the parts of a request's path as they were sent: a "/" inside a name is "%2F".

    Args:
        scope: The request's ASGI scope.

    Returns:
        The parts, decoded.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return [unquote(part) for part in raw.decode("ascii", "replace").split("/") if part]


def unit_number(text: str) -> int:
    """Reads the number of a unit.

    Args:
        text: As it stands in an address.

    Returns:
        The number, from 0.

    Raises:
        HTTPException: It is none (404).
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HTTPException(
            404, f"A unit is named by its number, as in {address('net', 'layer', 7)}."
        )
    return int(text)
