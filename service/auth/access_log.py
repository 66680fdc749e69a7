"""The access log: who did what, to which model, data set and operation, when and with which result.
One JSON object a line, in files of its own apart from the service's log.
"""

import contextlib
import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

log = structlog.get_logger("striate")

FILE_BYTES, FILES = 64 * 2**20, 16  # of a file, after which a new one is begun; files that are kept
MOST_WAITING = 10_000  # lines that wait for the disk
CLOSE_SECONDS = 5.0
COMPLAIN_SECONDS = 60.0  # between two complaints about a disk that takes nothing


class AccessLog:
    """Writes lines from a thread of its own: neither a slow disk nor a full one holds up a call.

    Lines that cannot be written are lost, counted, and complained of in the service's log: a
    server whose disk is full goes on.

    Args:
        path: of the newest file; the older ones have ".1", ".2", ... behind it.
        lost: told of each line that is lost.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, lost: Callable[[], None] = lambda: None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._losses = _Losses(path, lost)
        self._files = _Files(path, self._losses)
        self._waiting = queue.Queue[str | None](MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def write(self, line: Mapping[str, object]) -> None:
        """Have a line written.

        Args:
            line: what it says; the time is added.
        """
        try:
            self._waiting.put_nowait(json.dumps({"time": time.time(), **line}))
        except queue.Full:
            self._losses.note("too many wait for the disk")

    def close(self) -> None:
        """Write what waits, and end the thread; a disk that hangs is waited for no longer than
        `CLOSE_SECONDS`.
        """
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (text := self._waiting.get()) is not None:
            self._files.handle(logging.makeLogRecord({"msg": text}))
        with contextlib.suppress(OSError):  # of a disk that is full still
            self._files.close()


class _Losses:
    """Counts lines that are lost, and complains now and then."""

    def __init__(self, path: Path, lost: Callable[[], None]) -> None:
        self._path, self._lost = path, lost
        self._lock, self._complained = threading.Lock(), -COMPLAIN_SECONDS

    def note(self, reason: str) -> None:
        """Count one."""
        self._lost()
        with self._lock:
            now = time.monotonic()
            if now - self._complained < COMPLAIN_SECONDS:
                return
            self._complained = now
        log.error("lines of the access log are lost", file=str(self._path), error=reason)


class _Files(RotatingFileHandler):
    """The files, which their owner and their group may read."""

    def __init__(self, path: Path, losses: _Losses) -> None:
        self._losses = losses
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="ascii")

    def _open(self) -> Any:
        opened = super()._open()
        Path(self.baseFilename).chmod(0o640)
        return opened

    def handleError(self, record: logging.LogRecord) -> None:
        self._losses.note(str(sys.exc_info()[1]))
