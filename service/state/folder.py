"""A server's state folder: locked, brought to today's version, and open until it is closed."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from service import files
from service.state.lock import StateLock, StateUnusable, unusable
from service.state.quarantine import Quarantine
from service.state.served_time import ServedTime
from service.state.space import DiskSpace

log = structlog.get_logger("striate")

VERSION_FILE = "version.json"
QUARANTINE = "quarantine"
FOLDER_MODE = 0o700  # of a new one: it holds what callers sent, and who they are
Migration = Callable[[Path], None]


class StateFolder:
    """A state folder that this process holds.

    Attributes:
        path: of the folder.
        space: of its disk.
        quarantine: where damaged files go.
        served: the time by which the age of kept things is counted.

    Args:
        path: of the folder, which is made, for its owner alone, if it is not there.
        version: of the service, told to whoever is refused.
        floor: bytes that stay free on its disk.
        count: hears of each damaged thing by its kind.
        migrations: by the version that each leads to, in order.

    Raises:
        StateInUse: another process holds it.
        StateUnusable: it cannot be written or locked, or a later version of the service wrote it.
    """

    def __init__(
        self,
        path: Path,
        version: str,
        floor: int,
        count: Callable[[str], None],
        migrations: Mapping[int, Migration],
    ) -> None:
        self.path = path
        try:
            path.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnusable(unusable(path, error)) from error
        self._lock = StateLock(path, version)
        try:
            _require_writable(path)
            _bring_up(path, migrations)
        except BaseException:
            self._lock.release()
            raise
        self.space = DiskSpace(path, floor)
        self.quarantine = Quarantine(path / QUARANTINE, count)
        self.served = ServedTime(path / "served-seconds")

    def close(self) -> None:
        """Keep how long it was served, and let go of it."""
        self.served.save()
        self._lock.release()


def version_of(path: Path) -> int:
    """Find the version of a state folder's layout.

    Args:
        path: of the folder.

    Returns:
        The number; 1 for folders that do not say.
    """
    try:
        return int(json.loads((path / VERSION_FILE).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def _require_writable(path: Path) -> None:
    """Refuse a folder in which no file can be made: a full disk is none."""
    if not os.access(path, os.W_OK | os.X_OK):
        raise StateUnusable(
            f"the state folder {path} cannot be written by this user: change its owner, or give "
            f"this server another folder by --state-dir"
        )


def _bring_up(path: Path, migrations: Mapping[int, Migration]) -> None:
    """Take the steps between the folder's version and today's, each of which may be taken again."""
    now, today = version_of(path), max(migrations, default=1)
    if now > today:
        raise StateUnusable(
            f"the state folder {path} has version {now}, which a later version of the service "
            f"wrote; this one reads {today} and below: serve it with that version, or give "
            f"--state-dir another folder"
        )
    for number in range(now + 1, today + 1):
        log.info("the state folder is brought to a later version", version=number)
        migrations[number](path)
        try:
            files.write(path / VERSION_FILE, json.dumps({"version": number}).encode(), durable=True)
        except OSError as error:
            raise StateUnusable(unusable(path, error)) from error
