"""Whether a client and a server of given versions understand each other."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_NUMBERS = re.compile(r"(\d+)\.(\d+)")
WAY_ON = "install both of one version, in a checkout of Striate: pip install ./clients ."


@cache
def client_version() -> str:
    """Reads the version of this client.

    Returns:
        The version, e.g. "0.1.0"; "" where the package runs from a folder without being installed.
    """
    try:
        return version("striate-client")
    except PackageNotFoundError:
        return ""


def understand(client: str, server: str) -> bool:
    """Says whether two versions speak the same contract: those of one major version do, and before
    1.0, when minor versions may break it, those of one minor version.

    Args:
        client: Version of the client, e.g. "0.1.0".
        server: Version of the server.

    Returns:
        Whether they do; True where one of them is no version, for then nothing is known.
    """
    found = [_NUMBERS.match(text) for text in (client, server)]
    numbers = [(int(match[1]), int(match[2])) for match in found if match]
    if len(numbers) < 2:
        return True
    (major, minor), (other_major, other_minor) = numbers
    return major == other_major and (major > 0 or minor == other_minor)


def doubt(client: str, server: str, target: str) -> str:
    """Words the warning for a client and a server that are too far apart.

    Args:
        client: Version of the client.
        server: Version of the server.
        target: The server's address.

    Returns:
        The warning, with both versions and the way on.
    """
    return (
        f"the client is version {client} and the server at {target} is {server}: they may "
        f"misunderstand each other; {WAY_ON}"
    )
