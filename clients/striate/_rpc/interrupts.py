"""Ctrl-C at a better moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held() -> Iterator[None]:
    """Delays Ctrl-C until the block has ended.

    gRPC starts a call in Python code: an interrupt in its midst would leave the call running on the
    server, and nobody could cancel it.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        # interrupts reach the main thread alone; None is a handler that Python could not put back
        yield
        return
    caught = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        caught.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught.is_set():
            signal.raise_signal(signal.SIGINT)
