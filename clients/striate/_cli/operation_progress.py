"""Waiting for operations, and showing how far they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from striate._api.operation import Operation
from striate._cli.left_out import so_far
from striate._cli.screen import ProgressBar, Screen
from striate.results.audit import AuditProgress

_CANCEL_TIMEOUT = 10.0  # seconds


def wait_for(
    operation: Operation,
    timeout: float | None,
    on_progress: Callable[[Any], object],
    cancel: bool = True,
) -> Any:
    """Waits for an operation's end.

    Args:
        operation: The operation.
        timeout: Seconds after which the waiting is given up, None for never.
        on_progress: Called with the operation's metadata about every second.
        cancel: On Ctrl-C also cancel the operation.

    Returns:
        The operation's result.

    Raises:
        StriateError: The operation failed, or did not end in time.
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        return operation.wait(timeout=timeout, on_progress=on_progress)
    except KeyboardInterrupt:
        if cancel:
            operation.cancel(timeout=_CANCEL_TIMEOUT)
        raise


class AuditDisplay:
    """Shows how far an audit is: as a bar on a terminal, else by a line for each of its checks of
    itself, which take their time, and for every tenth of the images.
    """

    def __init__(self, screen: Screen, bar: ProgressBar) -> None:
        self._screen, self._bar = screen, bar
        self._last_tenth, self._last_stage = -1, ""

    def update(self, progress: object) -> None:
        """Shows the progress of an audit; nothing for that of another operation."""
        if not isinstance(progress, AuditProgress):
            return
        note = progress.stage
        if progress.seconds_left is not None:
            note += f", {duration(progress.seconds_left)} left"
        done, total, left_out = (
            progress.images_done,
            progress.images_total,
            progress.images_left_out,
        )
        self._bar.update(done, total, f"{note}, {left_out} left out" if left_out else note)
        if self._screen.is_terminal or not self._is_news(progress):
            return
        self._screen.note(f"{so_far(done, total, left_out)}: {note}")

    def _is_news(self, progress: AuditProgress) -> bool:
        """Whether a further tenth is done, or a further check has begun."""
        tenth = 10 * progress.images_done // max(1, progress.images_total)
        check = not progress.images_done and progress.stage != self._last_stage
        if tenth > self._last_tenth or check:
            self._last_tenth, self._last_stage = tenth, progress.stage
            return True
        return False


def duration(seconds: float) -> str:
    """So many seconds for people: "45 s", "12 min", "3 h 5 min"."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
