"""The packages beside the server: the client's, which holds the contract's messages, and extras.

The server's wheel does not require it by name: a package index would be asked for that name, and
whoever registers it there first would run code on every server.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

_WAY_ON = "install both in a checkout of Striate: pip install ./clients ."


def complaint() -> str | None:
    """Say in one sentence why the server cannot run with the client that is installed, if so.

    Returns:
        The sentence; None if the client is there, of the server's own version.

    Raises:
        ModuleNotFoundError: The client is there, and something that it needs is not.
    """
    try:
        import_module("striate.v1")
    except ModuleNotFoundError as error:
        if error.name not in ("striate", "striate.v1"):
            raise
        return (
            "the client, whose messages the server speaks, is not installed beside it; " + _WAY_ON
        )
    server, client = _installed("striate-server"), _installed("striate-client")
    if client == server or None in (client, server):
        return None
    return (
        f"striate-server {server} needs striate-client {server} beside it, and finds {client}; "
        + _WAY_ON
    )


def _installed(distribution: str) -> str | None:
    """The version of a distribution, None where it runs from a folder without being installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def extra(name: str) -> str:
    """Tell how an extra is installed, packages that only some users need.

    Args:
        name: its name in pyproject.toml, such as "timm".

    Returns:
        The command, for a checkout: a package index is never asked for a name of ours, which
        anyone could register there.
    """
    return f"pip install ./clients '.[{name}]'"
