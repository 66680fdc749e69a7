"""A copy of a state folder that a server can be started on, made while another one serves it.

The order makes it consistent. The operations come first, from SQLite's own backup: all that they
refer to was there before. Files are never changed in place, but replaced; so a name stands for a
whole file, whenever it is copied. An audit's report comes before the rest of its folder, which was
written before it; an index's description comes after its files, and again where those have been
replaced meanwhile.
"""

import contextlib
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from service import files
from service.state.folder import FOLDER_MODE, VERSION_FILE
from service.state.survey import AUDITS, DATABASE, INDEXES, PICTURES, REPORT, UPLOADS

_AGAIN = 5  # times that an index is copied whose files are replaced meanwhile


class BackupRefused(RuntimeError):
    """The copy cannot be made there."""


def backup(folder: Path, target: Path, link: bool = True) -> int:
    """Copy a state folder. Downloads, caches of object stores and the quarantine stay behind.

    Args:
        folder: the state folder, which may be in use.
        target: of the copy: a new folder, which is made for its owner alone, or an empty one.
        link: make hard links where the file system can, which take no room; else copies.

    Returns:
        How many files the copy has.

    Raises:
        BackupRefused: there is something in the target already, or no state folder.
        OSError, sqlite3.Error: a disk does not take or give it.
    """
    if not folder.is_dir():
        raise BackupRefused(f"there is no state folder {folder}")
    if target.exists() and any(target.iterdir()):
        raise BackupRefused(f"{target} is not empty: name a new folder for the copy")
    if target.resolve().is_relative_to(folder.resolve()):
        raise BackupRefused(f"{target} is inside the state folder: name a folder outside of it")
    target.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    copy = _Copy(folder, target, link)
    copy.database()
    for audit in sorted((folder / AUDITS).glob("*")):
        copy.file(audit / REPORT)
        copy.below(audit)
    copy.indexes()
    for area in (UPLOADS, PICTURES, "spectra"):
        copy.below(folder / area)
    for name in (f"{UPLOADS}.place", VERSION_FILE, "served-seconds"):
        copy.file(folder / name)
    return copy.count


class _Copy:
    """A copy that is being made."""

    def __init__(self, folder: Path, target: Path, link: bool) -> None:
        self._folder, self._target, self._link = folder, target, link
        self.count = 0

    def database(self) -> None:
        """Copy the operations as they are at one moment."""
        path = self._folder / DATABASE
        if path.exists():
            with (
                closing(sqlite3.connect(path)) as source,
                closing(sqlite3.connect(self._target / DATABASE)) as copy,
            ):
                source.backup(copy)
            self.count += 1

    def below(self, folder: Path) -> None:
        """Copy every finished file below a folder that has not been copied yet."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in (files.TEMPORARY, ".part"):
                self.file(path)

    def indexes(self) -> None:
        """Copy each index with the files that its description names."""
        folder = self._folder / INDEXES
        for path in sorted(folder.glob("*.json")):
            for _ in range(_AGAIN):
                before = _read(path)
                self.file(path.with_suffix(".parquet"), again=True)
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    self.file(folder / str(json.loads(before)["tensors"]), again=True)
                if _read(path) == before:
                    break
            self.file(path)
        self.below(folder)  # shards of what is being built, and the like

    def file(self, path: Path, again: bool = False) -> None:
        """Copy a file, unless it has gone meanwhile, or was copied before."""
        target = self._target / path.relative_to(self._folder)
        if target.exists() and not again:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            with files.replacing(target) as temporary:
                self._transfer(path, temporary)
            self.count += 1

    def _transfer(self, path: Path, target: Path) -> None:
        if self._link:
            try:
                os.link(path, target)
                return
            except FileNotFoundError:
                raise
            except OSError:  # another disk, or one that knows no links
                self._link = False
        shutil.copy2(path, target)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
