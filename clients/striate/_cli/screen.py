"""Where a command writes: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import rich.console
from rich.cells import cell_len
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from striate._formats.columns import Columns, cells, with_values
from striate._formats.text import finite, visible
from striate.errors import StriateError

Item = TypeVar("Item")

_GAP = 2  # characters between columns
_PIPE_WIDTH = 200  # characters of a line, where nobody looks at a terminal


class Screen:
    """Where a command writes: results to stdout, as text or as one JSON object, progress and errors
    to stderr.

    Args:
        as_json: Write one JSON object to stdout instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(None if sys.stdout.isatty() else _PIPE_WIDTH)
        self._err = rich.console.Console(stderr=True, highlight=False, markup=False)

    @property
    def is_terminal(self) -> bool:
        """Whether stderr is a terminal, so that a progress bar is seen."""
        return self._err.is_terminal

    def result(self, values: dict[str, Any]) -> None:
        """Prints the command's result as JSON; nothing without --json.

        Args:
            values: Plain values; numbers that are not finite become null.
        """
        if self.as_json:
            print(json.dumps(finite(values), allow_nan=False))

    def line(self, text: str) -> None:
        """Prints a line of the result as text; nothing with --json."""
        if not self.as_json:
            self._out.print(visible(text), soft_wrap=True)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Prints a table of the result as text; nothing with --json.

        Columns without a value in any row are left out, and named in a line on stderr. No cell is
        ever cut: a name stays on one line, a sentence is wrapped between its words, and a table
        that needs more than the terminal's width is printed wider.

        Args:
            header: Names of the columns.
            rows: Their cells, None or "" for an empty one.
        """
        if self.as_json:
            return
        names, filled, empty = with_values(list(map(visible, header)), [list(row) for row in rows])
        texts = [["" if cell is None else visible(str(cell)) for cell in row] for row in filled]
        table = Table(box=None, header_style="bold", pad_edge=False)
        needed = 0
        for name, *column in zip(names, *texts, strict=True):
            # rich would cut the words of a column that it narrows, and narrows those without blanks
            cell_words = [cell.split() for cell in (name, *column)]
            widest = max((cell_len(word) for words in cell_words for word in words), default=1)
            table.add_column(
                name, min_width=widest, no_wrap=all(len(words) < 2 for words in cell_words[1:])
            )
            needed += widest + _GAP
        for row in texts:
            table.add_row(*map(Text, row))
        _console(max(needed, self._out.width)).print(table)
        if empty:
            self.note(f"without values, so not shown: {', '.join(empty)}")

    def listing(self, columns: Columns[Item], items: Sequence[Item]) -> None:
        """Prints a table of items, one a row; nothing with --json.

        Args:
            columns: The table's columns.
            items: The items.
        """
        self.table(list(columns), cells(columns, items))

    def note(self, text: str) -> None:
        """Prints a line beside the result, to stderr."""
        self._err.print(visible(text), soft_wrap=True)

    def fail(self, error: Exception) -> None:
        """Prints an error: text to stderr, and with --json the object {"error": ...} to stdout."""
        self.note(f"striate: {error}")
        report: dict[str, Any] = {"message": str(error)}
        if isinstance(error, StriateError):
            for field, problem in error.fields.items():
                if problem not in str(error):
                    self.note(f"  {field}: {problem}")
            report |= {"code": error.code.name, "reason": error.reason, "fields": error.fields}
            report |= {"request_id": error.request_id, "retry_after": error.retry_after}
        self.result({"error": report})

    @contextmanager
    def bar(self, label: str, estimate: bool = True) -> Iterator[ProgressBar]:
        """Shows a progress bar on stderr within the block, where that is a terminal.

        Args:
            label: What is in progress.
            estimate: Also show the client's own estimate of the time left.

        Yields:
            The bar, to be updated.
        """
        columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(), MofNCompleteColumn()]
        columns += [TimeRemainingColumn()] if estimate else []
        columns += [TextColumn("{task.fields[note]}", markup=False)]
        with Progress(
            *columns, console=self._err, disable=not self.is_terminal, transient=True
        ) as progress:
            yield ProgressBar(progress, label)


class ProgressBar:
    """A progress bar that learns its total as it goes."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._task = progress.add_task(visible(label), total=None, note="")

    def update(self, done: int, total: int, note: str = "") -> None:
        """Moves the bar.

        Args:
            done: Steps, units or images so far.
            total: Those in all, 0 if that is not known.
            note: Text behind the bar.
        """
        self._progress.update(self._task, completed=done, total=total or None, note=visible(note))


def _console(width: int | None) -> rich.console.Console:
    """Stdout as plain text, of a width of its own or as wide as the terminal."""
    return rich.console.Console(width=width, highlight=False, markup=False)
