"""Help texts from the docstrings of the client's classes."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^Attributes:\n(?P<entries>(?:[ ]{4}.*\n?|\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^[ ]{4}(?P<name>\w+): (?P<text>.*(?:\n[ ]{5,}.*)*)", re.MULTILINE)
_DEFAULT = re.compile(r"[,;] None for (?P<default>[^;]*?)(?=\.(?: |$))")


def summary(kind: type) -> str:
    """The first paragraph of a class's docstring, as one line."""
    return " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())


def attributes(kind: type) -> dict[str, str]:
    """The entries of the `Attributes:` section of a class's docstring, its bases' included.

    Args:
        kind: The class.

    Returns:
        The text of each attribute as one line.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        section = _SECTION.search(inspect.cleandoc(base.__doc__ or ""))
        for entry in _ENTRY.finditer(section["entries"] if section else ""):
            found[entry["name"]] = " ".join(entry["text"].split())
    return found


def without_default(text: str) -> tuple[str, str]:
    """Splits an attribute's text such as "Hidden layers, 1 to 16, None for 8."

    Args:
        text: The text.

    Returns:
        The text without its last clause, "Hidden layers, 1 to 16.", and what None stands for, "8",
        which is "" if the text does not say.
    """
    match = _DEFAULT.search(text)
    return (_DEFAULT.sub("", text), match["default"]) if match else (text, "")
