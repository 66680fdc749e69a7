"""What is in a state folder: whose it is, how large, and what nobody needs any more."""

import contextlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import files
from service.state.folder import QUARANTINE, version_of
from service.state.lock import owner

DATABASE = "operations.sqlite"
AUDITS, INDEXES, PICTURES = "audits", "indexes", "pictures"
UPLOADS = "datasets/uploads"
REPORT = "report.json"
# The folders, the inner before the outer, and what is in them.
AREAS = {
    UPLOADS: "uploaded data sets",
    "datasets": "downloads of data sets",
    AUDITS: "journals and reports of audits",
    INDEXES: "exemplar indexes",
    "index-cache": "copies of indexes in an object store",
    PICTURES: "pictures of layers",
    "spectra": "spectra of data sets",
    QUARANTINE: "what was damaged and set aside",
    "": "the rest",
}
_INDEX_FILE = re.compile(r"-[0-9a-f]{16,32}\.(safetensors|parquet)$")
_UNFINISHED = (files.TEMPORARY, ".part")


@dataclass
class Area:
    """How much there is of one kind."""

    files: int = 0
    bytes: int = 0


@dataclass
class Owned:
    """What belongs to one caller; the bytes are those of audits and uploads."""

    operations: int = 0
    uploads: int = 0
    bytes: int = 0


@dataclass
class Survey:
    """What is in a state folder.

    Attributes:
        folder: the state folder.
        version: of its layout.
        owner: the process that holds it; None where nobody does.
        areas: how much there is, by `AREAS`.
        operations: how many there are, by kind and state.
        owners: what belongs to whom, by callers' names; "" is nobody in particular.
        set_aside: damaged rows of the operations' database.
        database: what is wrong with that database, "" for nothing.
        orphans: files and folders that nobody needs, with their bytes.
    """

    folder: Path
    version: int
    owner: str | None
    areas: dict[str, Area] = field(default_factory=dict)
    operations: Counter[str] = field(default_factory=Counter)
    owners: dict[str, Owned] = field(default_factory=dict)
    set_aside: int = 0
    database: str = ""
    orphans: dict[Path, int] = field(default_factory=dict)


def survey(folder: Path) -> Survey:
    """Look through a state folder, which may be in use, and change nothing.

    Args:
        folder: the state folder.

    Returns:
        What is there. What a server is just writing counts as what nobody needs: ask while none
        holds the folder before anything is removed.
    """
    found = Survey(folder, version_of(folder), owner(folder), _areas(folder))
    known = _operations(found)
    _count_uploads(found)
    if known is not None:  # else nobody knows what is needed
        for path in _orphans(folder, *known):
            found.orphans[path] = size_of(path)
    return found


def bytes_by_kind(folder: Path) -> dict[str, int]:
    """Sum up the bytes of each kind in a state folder, which may be in use.

    Args:
        folder: the state folder.

    Returns:
        Bytes by the last part of each folder's name in `AREAS`, "rest" for the rest; 0 where there
        is nothing.
    """
    found = _areas(folder)
    return {
        area.rpartition("/")[2] or "rest": found[area].bytes if area in found else 0
        for area in AREAS
    }


def size_of(path: Path) -> int:
    """Sum up the bytes of a file, or of all in a folder.

    Args:
        path: of the file or folder.
    """
    if path.is_dir():
        return sum(size for _, size in _files(path))
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def read_database(path: Path) -> sqlite3.Connection:
    """Open the operations' database to read it, also beside a server or on a read-only disk.

    Args:
        path: of its file.

    Raises:
        sqlite3.Error: it is no database, or is not there.
    """
    if not path.exists():
        raise sqlite3.OperationalError(f"there is no {path.name}")
    alone = not path.with_name(f"{path.name}-wal").exists()
    how = "mode=ro&immutable=1" if alone else "mode=ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)


def _areas(folder: Path) -> dict[str, Area]:
    """How much there is of each kind that there is."""
    areas = dict[str, Area]()
    for path, size in _files(folder):
        area = areas.setdefault(_area(path.relative_to(folder)), Area())
        area.files, area.bytes = area.files + 1, area.bytes + size
    return areas


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Every file below a folder and its bytes; those that go meanwhile are left out."""
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size


def _area(path: Path) -> str:
    return next(area for area in AREAS if not area or path.is_relative_to(area))


def _operations(found: Survey) -> tuple[set[str], bool] | None:
    """Count the operations; returns the last parts of their names, and whether an index is being
    built; None where the database cannot be read.
    """
    names, building, aside = set[str](), False, list[tuple[str]]()
    try:
        with closing(read_database(found.folder / DATABASE)) as database:
            database.text_factory = lambda data: data.decode(errors="replace")
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
            found.database = "" if said == "ok" else str(said)
            columns = [row[1] for row in database.execute("PRAGMA table_info(operations)")]
            owner = "owner" if "owner" in columns else "''"  # of an earlier version
            rows = database.execute(f"SELECT name, kind, state, {owner} FROM operations").fetchall()
            with contextlib.suppress(sqlite3.Error):  # of the first version
                aside = database.execute("SELECT name FROM set_aside").fetchall()
    except sqlite3.Error as error:
        if (found.folder / DATABASE).exists():
            found.database = str(error)
        return None
    found.set_aside = len(aside)
    names |= {str(name).rpartition("/")[2] for (name,) in aside}
    for name, kind, state, owner in rows:
        owned = found.owners.setdefault(str(owner), Owned())
        owned.operations += 1
        owned.bytes += size_of(found.folder / AUDITS / str(name).rpartition("/")[2])
        found.operations[f"{kind} {state}"] += 1
        names.add(str(name).rpartition("/")[2])
        building |= kind == "BuildExemplarIndex" and state != "done"
    return None if found.database else (names, building)


def _count_uploads(found: Survey) -> None:
    """Count the uploads by whose they are, which a file beside each says."""
    for path in sorted((found.folder / UPLOADS).glob("upload-*.parquet")):
        owner = ""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            owner = str(json.loads(path.with_suffix(".json").read_bytes())["owner"])
        owned = found.owners.setdefault(owner, Owned())
        owned.uploads, owned.bytes = owned.uploads + 1, owned.bytes + size_of(path)


def _orphans(folder: Path, operations: set[str], building: bool) -> Iterator[Path]:
    """What nobody needs, where no server holds the folder."""
    unfinished = {path for ending in _UNFINISHED for path in folder.rglob(f"*{ending}")}
    downloads = {path for path in unfinished if _area(path.relative_to(folder)) == "datasets"}
    aside = {path for path in unfinished if path.is_relative_to(folder / QUARANTINE)}
    yield from sorted(unfinished - downloads - aside)
    uploads = folder / UPLOADS
    beside = [*uploads.glob("upload-*.used"), *uploads.glob("upload-*.json")]
    for path in sorted(beside):
        if not path.with_suffix(".parquet").exists():
            yield path
    for path in sorted((folder / AUDITS).glob("*")):
        if path.is_dir() and path.name not in operations:
            yield path
        elif (path / REPORT).exists():
            yield from sorted([*path.glob("shard-*.safetensors"), *path.glob("met-*.safetensors")])
    yield from _index_orphans(folder / INDEXES, building)
    for path in sorted((folder / PICTURES).glob("*/*.png")):
        if not path.with_suffix(".json").exists():
            yield path


def _index_orphans(folder: Path, building: bool) -> Iterator[Path]:
    """Shards of builds that nobody goes on with, and files that no description names."""
    named = set[str]()
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            about: dict[str, Any] = json.loads(path.read_text())
            named |= {str(about.get("tensors")), path.with_suffix(".parquet").name}
    for path in sorted(folder.glob("*")):
        abandoned = not building and path.is_dir() and any(path.glob("shard-*.safetensors"))
        if abandoned or (_INDEX_FILE.search(path.name) and path.name not in named):
            yield path
