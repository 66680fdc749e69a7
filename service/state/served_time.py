"""How long servers have served a state folder: what the age of kept things is counted by.

A clock that is put forward or back, or a server that stood still for a year, makes nothing older.
"""

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

from service import files


class ServedTime:
    """The seconds that all servers of a state folder have served. Any thread may ask.

    Args:
        path: of the file that keeps them from one server to the next.
        monotonic: a clock that nobody puts forward or back.
    """

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path, self._monotonic = path, monotonic
        self._began = monotonic() - _kept(path)

    def __call__(self) -> float:
        """Return the seconds so far."""
        return self._monotonic() - self._began

    def save(self) -> None:
        """Keep them for the next server; a disk that does not take it costs what was not kept."""
        with contextlib.suppress(OSError):
            files.write(self._path, f"{self():.0f} {self():.0f}\n".encode())


def _kept(path: Path) -> float:
    """The seconds in a file, which holds them twice; 0 where it cannot be read."""
    try:
        first, second = path.read_text().split()
        seconds = float(first)
    except (OSError, ValueError):
        return 0.0
    return seconds if first == second and math.isfinite(seconds) and seconds > 0 else 0.0
