"""What the commands share: options, the connection, output for people or scripts, and exit
codes.
"""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import rich.console
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from striate import epsilons
from striate.errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    IndexNotFound,
    InvalidArgument,
    ModelBusy,
    NotFound,
    OperationRunning,
    ResourceExhausted,
    StriateError,
    StriateWarning,
    Unavailable,
)
from striate.service import Service, connect

BAR_MISSED, USAGE, NOT_FOUND, UNREACHABLE, NOT_NOW, SERVER_FAILED, INTERRUPTED = (
    1,
    2,
    3,
    4,
    5,
    6,
    130,
)
SUSPECT = 7  # of an audit that was asked to be valid

_EXIT_CODES: tuple[tuple[type[StriateError], int], ...] = (  # the first that fits
    (InvalidArgument, USAGE),
    (NotFound, NOT_FOUND),
    (IndexNotFound, NOT_FOUND),
    (Unavailable, UNREACHABLE),
    (DeadlineExceeded, NOT_NOW),
    (Cancelled, NOT_NOW),
    (Aborted, NOT_NOW),
    (ResourceExhausted, NOT_NOW),
    (ModelBusy, NOT_NOW),
    (OperationRunning, NOT_NOW),
    (StriateError, SERVER_FAILED),
)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model.")]
Pictures = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGES", help="PNG, JPEG or WebP files, or folders of them."),
]
DEFAULT_SERVER = "localhost:50051"
Server = Annotated[
    str,
    typer.Option(
        "--server", metavar="HOST:PORT", help="The server; STRIATE_SERVER says it for all commands."
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0, help="Give up after so long. Default: never."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else to stdout.")
]


_HINTS: tuple[tuple[type[StriateError], str], ...] = (
    (
        Unavailable,
        "Is striate-server running there? --server HOST:PORT or STRIATE_SERVER says where else.",
    ),
    (IndexNotFound, "To build it: striate index MODEL --dataset NAME --layer LAYER"),
)


def exit_code(error: StriateError) -> int:
    """The exit code that stands for an error."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))


def default_server() -> str:
    """The server of commands that name none."""
    return os.environ.get("STRIATE_SERVER") or DEFAULT_SERVER


def _plain(value: Any) -> Any:
    """The same with null for numbers that are not finite, which JSON has not."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Screen:
    """Where a command writes: results to stdout, as text or as one JSON object, progress and errors
    to stderr.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = rich.console.Console(
            width=None if sys.stdout.isatty() else 200, highlight=False, markup=False
        )
        self._err = rich.console.Console(stderr=True, highlight=False, markup=False)

    def result(self, values: dict[str, Any]) -> None:
        """The command's result for scripts; nothing for people."""
        if self.as_json:
            print(json.dumps(_plain(values), allow_nan=False))

    def line(self, text: str) -> None:
        """A line for people."""
        if not self.as_json:
            self._out.print(text, soft_wrap=True)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people."""
        if self.as_json:
            return
        table = Table(*header, box=None, header_style="bold", pad_edge=False)
        for row in rows:
            table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
        self._out.print(table)

    def fail(self, error: Exception) -> None:
        """An error: text to stderr, and for scripts the JSON object {"error": ...}."""
        self._err.print(f"striate: {error}", soft_wrap=True)
        report: dict[str, Any] = {"message": str(error)}
        if isinstance(error, StriateError):
            for field, problem in error.fields.items():
                if problem not in str(error):
                    self._err.print(f"  {field}: {problem}", soft_wrap=True)
            report |= {"code": error.code.name, "reason": error.reason, "fields": error.fields}
            report |= {"request_id": error.request_id, "retry_after": error.retry_after}
        self.result({"error": report})

    def note(self, text: str) -> None:
        """A line beside the result, to stderr."""
        self._err.print(text, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Is somebody looking at stderr?"""
        return self._err.is_terminal

    @contextmanager
    def bar(self, label: str, estimate: bool = True) -> Iterator[ProgressBar]:
        """A progress bar on stderr, where that is a terminal; with the client's own estimate of the
        time left, if wanted.
        """
        texts = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
        columns = (
            texts[0],
            BarColumn(),
            MofNCompleteColumn(),
            *([TimeRemainingColumn()] if estimate else []),
            texts[1],
        )
        with Progress(
            *columns, console=self._err, disable=not self._err.is_terminal, transient=True
        ) as progress:
            yield ProgressBar(progress, label)


class ProgressBar:
    """A bar that learns its total as it goes."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(label, total=None, note="")

    def update(self, done: int, total: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total or None, note=note)


@contextmanager
def session(server: str, timeout: float | None, as_json: bool) -> Iterator[tuple[Service, Screen]]:
    """A connection and a screen for one command; errors are reported and become exit codes."""
    screen = Screen(as_json)
    try:
        with _told(screen), connect(server, timeout=timeout) as service:
            yield service, screen
    except StriateError as error:
        screen.fail(error)
        for hint in (hint for kind, hint in _HINTS if type(error) is kind):
            screen.note(f"  {hint}")
        raise typer.Exit(exit_code(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:  # a file that cannot be read or written
        screen.fail(error)
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _told(screen: Screen) -> Iterator[None]:
    """Within the block the server's warnings become lines on stderr."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, StriateWarning):
                screen.note(f"striate: warning: {message}")
            else:
                show(message, category, *where, **more)

        warnings.simplefilter("always", StriateWarning)
        warnings.showwarning = tell
        yield


def fraction(value: str | float) -> float:
    """The number in "8/255" or "0.03"; a number, as defaults are, stays itself."""
    try:
        return epsilons.fraction("number", value)
    except InvalidArgument as error:
        raise typer.BadParameter(error.fields["number"]) from None


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The paths, with every folder replaced by the pictures in it in name order. Raises
    FileNotFoundError for a folder without any.
    """
    files: list[Path] = []
    for path in paths:
        found = (
            sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
            if path.is_dir()
            else [path]
        )
        if not found:
            raise FileNotFoundError(f"no {', '.join(PICTURES)} in the folder {path}")
        files += found
    return files
