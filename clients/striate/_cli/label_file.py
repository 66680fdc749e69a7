"""Class names out of a text file."""

from __future__ import annotations

from pathlib import Path

import typer

_JSON = {"[", "]", "{", "}"}  # one of which JSON lists and tables begin and end with


def read_label_file(path: Path | None) -> list[str]:
    """Reads the class names of `--labels FILE`.

    Args:
        path: Of the file, one name a line in UTF-8; a byte order mark, blank lines and space around
            names are passed over. None: none is given.

    Returns:
        The names in order; none without a file.

    Raises:
        typer.BadParameter: The file cannot be read, or holds something else.
    """
    if path is None:
        return []
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise _bad(path, "is no text in UTF-8; save it as UTF-8, one name a line") from error
    except OSError as error:
        raise _bad(path, f"cannot be read: {error.strerror}") from error
    if not text:
        raise _bad(path, "is empty; one name a line is meant")
    if text[0] in _JSON and text[-1] in _JSON:
        raise _bad(path, "looks like JSON; one name a line is meant")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _bad(path: Path, what: str) -> typer.BadParameter:
    return typer.BadParameter(f"{path} {what}", param_hint="--labels")
