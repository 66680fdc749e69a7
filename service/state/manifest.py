"""The digests of a folder's finished files, in a file beside them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from service import files
from service.state.digests import DataLost, Verified, sha256

MANIFEST = "digests.json"


def write_manifest(
    folder: Path, names: Iterable[str], coming: Mapping[str, str] | None = None
) -> None:
    """Write down the SHA-256 of finished files of a folder.

    Args:
        folder: whose files they are.
        names: of the files.
        coming: digests of files that will follow, by name.

    Raises:
        OSError: a file cannot be read, or the disk does not take it.
    """
    found = dict(coming or {})
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = sha256(file)
    files.write(folder / MANIFEST, json.dumps(found, indent=2).encode(), durable=True)


def open_verified(path: Path, verified: Verified, otherwise: str) -> BinaryIO:
    """Open a file that is as its folder's manifest says.

    Args:
        path: of the file.
        verified: what is known of files.
        otherwise: what the error says, with the way on.

    Returns:
        The open file, at its beginning.

    Raises:
        DataLost: it is not, or the manifest cannot be read or does not name it.
        OSError: there is no such file.
    """
    file = path.open("rb")
    try:
        wanted = _wanted(path, otherwise)
        verified.require(path, wanted, lambda: sha256(file), otherwise)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _wanted(path: Path, otherwise: str) -> str:
    try:
        return str(json.loads((path.parent / MANIFEST).read_text())[path.name])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataLost(otherwise) from error


def damaged_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Compare the files of a folder with its manifest.

    Args:
        folder: that has a manifest.

    Yields:
        The name of each file that differs, and what is wrong with it. One whose report has not been
        finished is none yet.
    """
    try:
        wanted = dict(json.loads((folder / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        yield MANIFEST, str(error)
        return
    for name, digest in wanted.items():
        try:
            with (folder / name).open("rb") as file:
                if sha256(file) != digest:
                    yield name, "it is not what was written"
        except FileNotFoundError:
            if (folder / "report.json").exists():
                yield name, "it is not there"
        except OSError as error:
            yield name, str(error)
