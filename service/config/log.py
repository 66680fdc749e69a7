"""The log, in which texts of strangers are shown and never obeyed."""

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from service.config.settings import Settings

# What a terminal obeys rather than shows (all control characters but tab and newline), what turns
# the direction of writing, breaks lines unseen, or is half a character.
_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Escape what a terminal would not show but obey.

    Args:
        text: any text.

    Returns:
        The text, with such characters as Python writes them: `\\x1b` for an escape.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def set_up_log(settings: Settings) -> None:
    """Have structured lines written to stderr: stdout is for the one line that says where the
    server listens.

    Args:
        settings: level and format of the log.
    """
    last: tuple[structlog.typing.Processor, ...] = (
        (structlog.processors.JSONRenderer(),)  # in ASCII, so that it escapes by itself
        if settings.log_format == "json"
        else (_only_visible, structlog.dev.ConsoleRenderer())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelName(settings.log_level.upper())
        ),
        logger_factory=lambda *_: ForgivingLogger(sys.stderr),
    )


class ForgivingLogger(structlog.PrintLogger):
    """Writes lines where it can: what a full disk does not take of the log fails no request."""

    def msg(self, message: str) -> None:
        """Write a line.

        Args:
            message: of the log.
        """
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def _only_visible(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A line's values, so that none writes to the terminal, and none but a traceback makes lines
    of its own.
    """
    for key, value in event.items():
        if key == "exception":
            event[key] = visible(str(value))
        elif isinstance(value, str):
            event[key] = visible(value).replace("\n", "\\n")
    return event
