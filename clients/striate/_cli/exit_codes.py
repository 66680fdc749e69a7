"""The exit codes of the commands, which scripts lean on."""

from __future__ import annotations

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
    Unavailable,
)

BAR_MISSED = 1  # a bar that was asked for was missed
USAGE = 2  # wrong usage or argument
NOT_FOUND = 3  # nothing of that name
UNREACHABLE = 4  # no server there
NOT_NOW = 5  # deadline, cancelled, queue full, model in use
SERVER_FAILED = 6
SUSPECT = 7  # an audit that was asked to be valid is not
INTERRUPTED = 130  # Ctrl-C, as shells have it

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


def exit_code(error: StriateError) -> int:
    """Finds the exit code that stands for an error."""
    return next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
