"""Where files go that cannot be used any more: out of the way, and not lost."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger("striate")


def _uncounted(kind: str) -> None:
    """Counts nothing."""


class Quarantine:
    """A folder of damaged files. It may be used from several threads.

    Args:
        folder: where they go; made when the first one comes.
        count: hears of each damaged thing by its kind, for the metrics.
    """

    def __init__(self, folder: Path, count: Callable[[str], None] = _uncounted) -> None:
        self._folder, self._count = folder, count

    def report(self, kind: str, what: str, reason: str, kept: str = "") -> None:
        """Tell the log and the metrics of something damaged.

        Args:
            kind: of thing, a word: "operation", "index", "upload", "audit", "picture".
            what: a name or a path.
            reason: what is wrong with it.
            kept: where it is now, where it has been moved.
        """
        self._count(kind)
        log.error("damaged and set aside", kind=kind, what=what, reason=reason, kept=kept)

    def set_aside(self, path: Path, kind: str, reason: str) -> None:
        """Move a file or a folder into the quarantine; what cannot be moved stays where it is.

        Args:
            path: of the file or folder; nothing happens where it is gone.
            kind: of thing, see `report`.
            reason: what is wrong with it.
        """
        if not path.exists():
            return
        kept = self._free_name(path.name)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.move(path, kept)
        except OSError as error:
            self.report(kind, str(path), f"{reason}; it cannot be moved: {error}")
        else:
            self.report(kind, str(path), reason, str(kept))

    def _free_name(self, name: str) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        number = 0
        while (kept := self._folder / f"{stamp}-{number}-{name}").exists():
            number += 1
        return kept
