"""`striate-server token NAME --role ROLE --auth FILE`: makes a token, and writes its digest into
the auth file.
"""

import argparse
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path

from service.auth import file
from service.auth.identity import Role
from service.auth.tokens import digest, new_token

ROLES = tuple(role.name.lower() for role in Role)


def main(arguments: list[str], auth: Path | None) -> int:
    """Run the command: the token is printed, once, and kept nowhere.

    Args:
        arguments: behind "token".
        auth: the auth file, where no flag says another.

    Returns:
        The exit code: 0, or 1 where the file cannot be used.
    """
    given = _parser(auth).parse_args(arguments)
    token = new_token()
    try:
        entry = _entry(given, digest(token))
        with _alone_in(given.auth.absolute().parent):
            _append(given.auth, entry)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"striate-server token: {error}\n")
        return 1
    sys.stderr.write(
        f"{given.name} has role {given.role} in {given.auth}; the token is shown this once:\n"
    )
    print(token)
    return 0


def _parser(auth: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "striate-server token",
        description="Make a token for a caller. A running server knows it within a second; taken "
        "out of the file, it stops working as soon.",
    )
    parser.add_argument("name", metavar="NAME", help="the caller's, in logs and quotas")
    parser.add_argument("--role", required=True, choices=ROLES)
    parser.add_argument(
        "--auth",
        type=Path,
        default=auth,
        required=auth is None,
        metavar="FILE",
        help="the auth file, made where there is none (environment: STRIATE_AUTH)",
    )
    parser.add_argument("--expires", type=date.fromisoformat, metavar="YYYY-MM-DD", default=None)
    for what in ("models", "datasets"):
        parser.add_argument(
            f"--{what}",
            action="append",
            metavar="PATTERN",
            default=None,
            help=f"{what} that the caller may name, with * and ?; may be repeated; default: all",
        )
    return parser


def _entry(given: argparse.Namespace, sha256: str) -> str:
    """The text of the entry. Raises ValueError where the date is past."""
    if given.expires is not None:
        ends = datetime.combine(given.expires, time(), UTC)
        if ends <= datetime.now(UTC):
            raise ValueError(f"--expires: {given.expires} is past")
    lines = ["[[tokens]]", f"name = {_text(given.name)}", f'role = "{given.role}"']
    lines += [
        f"{what} = [{', '.join(map(_text, patterns))}]"
        for what, patterns in (("models", given.models), ("datasets", given.datasets))
        if patterns is not None
    ]
    if given.expires is not None:
        lines.append(f"expires = {given.expires.isoformat()}")
    return "\n".join([*lines, f'sha256 = "{sha256}"']) + "\n"


def _append(path: Path, entry: str) -> None:
    """Write the file with the entry behind it, all or nothing; only its owner may read it."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    text = f"{before.rstrip()}\n\n{entry}" if before.strip() else entry
    try:
        file.parse(text, path.absolute().parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    number, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as new:
            new.write(text)
            new.flush()
            os.fsync(new.fileno())
        if path.exists():
            os.chmod(name, path.stat().st_mode & 0o777)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, so that two who write there at once do not lose an entry."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _text(value: str) -> str:
    """A text as TOML has it, whose basic strings are JSON's."""
    return json.dumps(value, ensure_ascii=False)
