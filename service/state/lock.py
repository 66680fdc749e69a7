"""One server a state folder: a lock of the operating system, which its owner's death releases."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, TextIO

FILE = "lock"


class StateInUse(RuntimeError):
    """Another process holds the state folder."""


class StateUnusable(RuntimeError):
    """The state folder cannot be written, or cannot be locked."""


class StateLock:
    """The lock on a state folder, held until `release` or the end of the process.

    Args:
        folder: the state folder, which exists.
        version: of the service, told to whoever is refused.

    Raises:
        StateInUse: another process holds it; the message names that process.
        StateUnusable: the folder cannot be written, or its file system knows no locks.
    """

    def __init__(self, folder: Path, version: str) -> None:
        path = folder / FILE
        try:
            file = path.open("a+")
        except OSError as error:
            raise StateUnusable(unusable(folder, error)) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _described(file)
            file.close()
            raise StateInUse(
                f"the state folder {folder} belongs to {owner}: two servers on one folder would "
                f"do the same operations and remove each other's files; stop that one, or give "
                f"this one a folder of its own by --state-dir"
            ) from None
        except OSError as error:
            file.close()
            raise StateUnusable(
                f"the state folder {folder} is on a file system without locks ({error}), so that "
                f"a second server on it would go unnoticed: give --state-dir a local disk, or "
                f"mount the network file system with locks"
            ) from error
        self._file = file
        _write(file, version)

    def release(self) -> None:
        """Let go of the folder; a second call does nothing."""
        self._file.close()


def owner(folder: Path) -> str | None:
    """Describe the process that holds a state folder.

    Args:
        folder: the state folder.

    Returns:
        A few words; None where nobody holds it.
    """
    try:
        with (folder / FILE).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _described(file)
    except OSError:
        return None
    return None


def unusable(folder: Path, error: OSError) -> str:
    """Say that a state folder cannot be written, and the way on.

    Args:
        folder: the state folder.
        error: what writing there raised.

    Returns:
        The sentence.
    """
    return (
        f"the state folder {folder} cannot be written ({error.strerror or error}): indexes, "
        f"operations and uploads are kept there; mount it for writing, free some space, or give "
        f"this server another folder by --state-dir"
    )


def _write(file: TextIO, version: str) -> None:
    """Name the owner; a full disk leaves it unnamed, and locked all the same."""
    about = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "version": version,
    }
    try:
        file.truncate(0)
        file.write(json.dumps(about))
        file.flush()
    except OSError:
        return


def _described(file: TextIO) -> str:
    """Who has written a lock's file."""
    try:
        file.seek(0)
        about: dict[str, Any] = json.loads(file.read())
        return (
            f"process {about['pid']} on {about['host']}, a server of version {about['version']} "
            f"since {about['since']}"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which has not named itself"
