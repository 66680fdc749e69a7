"""Work in threads that ends early, between two of its steps, once its call has gone."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

_wanted: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar(
    "wanted", default=lambda: True
)


class Abandoned(Exception):
    """Nobody waits any more for what a thread is doing."""


@contextlib.contextmanager
def while_wanted(wanted: Callable[[], bool]) -> Iterator[None]:
    """Let work inside the context end early, see `check_wanted`.

    Args:
        wanted: says whether somebody still waits for the work; called from its thread.
    """
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)


def check_wanted() -> None:
    """Ask, between two steps of work that takes long, whether it is still worth doing.

    Raises:
        Abandoned: its call has ended; where no call was set, it never does.
    """
    if not _wanted.get()():
        raise Abandoned("the call has ended")
