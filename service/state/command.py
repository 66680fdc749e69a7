"""`striate-server state check|collect|backup`: the upkeep of a state folder by hand."""

import argparse
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.state.backup import BackupRefused, backup
from service.state.collect import collect
from service.state.lock import StateInUse, StateUnusable
from service.state.manifest import MANIFEST, damaged_files
from service.state.survey import AREAS, Survey, survey

# By the pattern of files in the state folder: tells what is wrong with one, None for nothing.
Verifiers = Mapping[str, Callable[[Path], str | None]]


def main(arguments: list[str], folder: Path, version: str, verifiers: Verifiers) -> int:
    """Run the command.

    Args:
        arguments: behind "state".
        folder: the state folder, where no flag says another.
        version: of the service.
        verifiers: of kept files.

    Returns:
        The exit code: 0; 1 where something is damaged, or cannot be done.
    """
    given = _parser(folder).parse_args(arguments)
    if not given.state_dir.is_dir():
        sys.stderr.write(f"striate-server state: there is no folder {given.state_dir}\n")
        return 1
    try:
        if given.action == "check":
            return _check(given.state_dir, verifiers, given.json)
        if given.action == "collect":
            return _collect(given.state_dir, version, given.json)
        count = backup(given.state_dir, given.target, not given.copy)
    except (StateInUse, StateUnusable, BackupRefused, OSError, sqlite3.Error) as error:
        sys.stderr.write(f"striate-server state {given.action}: {error}\n")
        return 1
    _print(given.json, {"target": str(given.target), "files": count}, [f"{count} files copied"])
    return 0


def _parser(folder: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "striate-server state", description="Look after the state folder of a server."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (
        ("check", "tell what is there, whose, how large, and what of it is damaged"),
        ("collect", "remove what nobody needs; no server may hold the folder"),
        ("backup", "make a consistent copy, also while a server runs"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--state-dir", type=Path, default=folder, metavar="DIR")
        action.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "backup":
            action.add_argument("target", type=Path, metavar="TARGET", help="a new folder")
            action.add_argument(
                "--copy", action="store_true", help="copy files that could be linked"
            )
    return parser


def _check(folder: Path, verifiers: Verifiers, as_json: bool) -> int:
    found = survey(folder)
    damaged = dict(_damaged(found, verifiers))
    areas = {
        AREAS[name]: {"files": area.files, "bytes": area.bytes}
        for name, area in sorted(found.areas.items())
    }
    told: dict[str, Any] = {
        "state_dir": str(folder),
        "version": found.version,
        "owner": found.owner,
        "areas": areas,
        "operations": dict(sorted(found.operations.items())),
        "owners": {name: asdict(owned) for name, owned in sorted(found.owners.items())},
        "rows_set_aside": found.set_aside,
        "not_needed": {str(path.relative_to(folder)): n for path, n in found.orphans.items()},
        "damaged": damaged,
    }
    lines = [
        f"{folder}, version {found.version}, held by {found.owner or 'nobody'}",
        *(f"{name}: {area['files']} files, {_size(area['bytes'])}" for name, area in areas.items()),
        *(f"operations, {name}: {count}" for name, count in told["operations"].items()),
        *(
            f"of {name or 'nobody in particular'}: {owned.operations} operations, {owned.uploads} "
            f"uploads, {_size(owned.bytes)}"
            for name, owned in sorted(found.owners.items())
        ),
        f"rows set aside: {found.set_aside}",
        f"not needed: {len(found.orphans)} files and folders, {_size(sum(found.orphans.values()))}",
        *(f"  {name}: {_size(size)}" for name, size in told["not_needed"].items()),
        *(f"damaged: {name}: {reason}" for name, reason in damaged.items()),
        *([] if damaged else ["nothing is damaged"]),
    ]
    _print(as_json, told, lines)
    return 1 if damaged else 0


def _damaged(found: Survey, verifiers: Verifiers) -> Iterator[tuple[str, str]]:
    """Names of damaged files, and what is wrong with them."""
    if found.database:
        yield "operations.sqlite", found.database
    for manifest in sorted(found.folder.glob(f"audits/*/{MANIFEST}")):
        for name, reason in damaged_files(manifest.parent):
            yield str((manifest.parent / name).relative_to(found.folder)), reason
    for pattern, verify in verifiers.items():
        for path in sorted(found.folder.glob(pattern)):
            wrong = verify(path)
            if wrong is not None:
                yield str(path.relative_to(found.folder)), wrong


def _collect(folder: Path, version: str, as_json: bool) -> int:
    removed = {str(p.relative_to(folder)): size for p, size in collect(folder, version).items()}
    lines = [
        *(f"{name}: {_size(size)}" for name, size in removed.items()),
        f"{len(removed)} files and folders removed, {_size(sum(removed.values()))}",
    ]
    _print(as_json, {"removed": removed}, lines)
    return 0


def _print(as_json: bool, told: dict[str, Any], lines: list[str]) -> None:
    sys.stdout.write(json.dumps(told, indent=2) if as_json else "\n".join(lines))
    sys.stdout.write("\n")


def _size(count: int) -> str:
    """Bytes for the eye."""
    return f"{count} bytes" if count < 2**20 else f"{count / 2**20:.1f} MiB"
