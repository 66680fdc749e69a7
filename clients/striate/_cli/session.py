"""What every command runs in: a connection, a screen, and errors that become exit codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer

from striate._cli.connection import open_connection
from striate._cli.exit_codes import INTERRUPTED, USAGE, exit_code
from striate._cli.hints import hint
from striate._cli.screen import Screen
from striate.errors import StriateError, StriateWarning
from striate.service import Service


@dataclass(frozen=True)
class Session:
    """What a command works with.

    Attributes:
        service: The connection to the server.
        screen: Where results and progress are written.
        timeout: Seconds after which the command gives up, None for never.
    """

    service: Service
    screen: Screen
    timeout: float | None


@contextmanager
def open_session(
    reached: Mapping[str, Any],
    timeout: float | None,
    as_json: bool,
    given: Mapping[str, Any] | None = None,
) -> Iterator[Session]:
    """Opens a connection and a screen for one command.

    Args:
        reached: The options that say which server is asked, and how it is reached.
        timeout: Seconds after which a call is given up, None for never.
        as_json: Print one JSON object instead of text.
        given: Arguments and options of the command by name, for hints.

    Yields:
        The session.

    Raises:
        typer.Exit: The command failed; its error has been printed.
    """
    screen = Screen(as_json)
    try:
        with _warnings_as_notes(screen), open_connection(reached, timeout) as service:
            yield Session(service, screen, timeout)
    except StriateError as error:
        screen.fail(error)
        if (way := hint(error, given or {})) is not None:
            screen.note(f"  {way}")
        raise typer.Exit(exit_code(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:  # a file that cannot be read or written
        screen.fail(error)
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _warnings_as_notes(screen: Screen) -> Iterator[None]:
    """Within the block the server's warnings become lines on stderr."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, StriateWarning):
                screen.note(f"striate: warning: {message}")
            else:
                show(message, category, *where, **more)

        warnings.simplefilter("always", StriateWarning)
        warnings.showwarning = note
        yield
