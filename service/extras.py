"""The server's extras, packages that only some users need, and how one is installed."""


def command(extra: str) -> str:
    """Tell how an extra is installed.

    Args:
        extra: its name in pyproject.toml, such as "timm".

    Returns:
        The command, for a checkout: a package index is never asked for a name of ours, which
        anyone could register there.
    """
    return f"pip install ./clients '.[{extra}]'"
