"""Arguments that begin with a minus and are no options: "-layer3.2:7", which is minus a unit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

_NEGATIVE = re.compile(r"-[^-].*:", re.DOTALL)  # no option has a colon in its name


class NegativeUnitCommand(TyperCommand):
    """A command that takes "-layer:unit" for an argument, with "--" before it or without."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the words of the command line; see `TyperCommand`.

        Args:
            ctx: Of the command.
            args: The words.

        Returns:
            Those that are left.
        """
        return super().parse_args(ctx, protected(args))


def protected(words: Iterable[str]) -> list[str]:
    """Puts a space, which objectives do not mind, before each word that is minus a unit and that
    would be taken for options.

    Args:
        words: Of a command line.

    Returns:
        The words; those behind "--" as they are.
    """
    result: list[str] = []
    behind = False
    for word in words:
        behind = behind or word == "--"
        result.append(f" {word}" if not behind and _NEGATIVE.match(word) else word)
    return result
