"""The folder of the indexes, here or in an object store: files that appear whole or not at all."""

import contextlib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from service import files as whole_file
from service.state import DataLost, Quarantine, Verified
from service.state.sealed import SEAL

UNREADABLE = (OSError, SafetensorError, ValueError, KeyError)  # what reading a damaged file raises

_verified = Verified()  # files, which all stores of a process may share

_HEADER = "striate"  # the key of the description in a tensor file's metadata
FORMAT = 3


class Files:
    """The files below a folder or any other URL that fsspec knows, by names relative to it. It may
    be used from several threads.

    Args:
        uri: a folder, or e.g. "s3://bucket/prefix".
        cache: a folder for copies of remote files, which are mapped into memory from there.

    Raises:
        ValueError: nobody knows the URL's protocol, or its driver is not installed.
    """

    def __init__(self, uri: str, cache: Path) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(uri, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ValueError(f"the indexes' URL {uri!r} cannot be used: {error}") from error
        self._is_local = isinstance(self._fs, LocalFileSystem)
        self.cache = cache
        if self._is_local:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    def entries(self, folder: str = "") -> dict[str, str]:
        """List the files right below a folder.

        Args:
            folder: below the root; empty for the root itself.

        Returns:
            Sorted by name without the folder's, of each file something that changes when the file
            is replaced; empty without such a folder.
        """
        try:
            found = self._fs.ls(self._url(folder) if folder else self._root, detail=True)
        except FileNotFoundError:
            return {}
        files = {
            entry["name"].rpartition("/")[2]: entry for entry in found if entry["type"] == "file"
        }
        return {
            name: json.dumps(entry, sort_keys=True, default=str)
            for name, entry in sorted(files.items())
        }

    def write(self, name: str, data: bytes) -> None:
        """Write a small file; a reader sees the old one or the new one.

        Args:
            name: of the file, below the root.
            data: all that it holds.
        """
        with self._replacing(name) as path:
            path.write_bytes(data)

    def save(self, name: str, about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write tensors with a description of JSON values; a reader sees the old file or the new
        one.

        Args:
            name: of the file, below the root.
            about: the description.
            tensors: by name.
        """
        header = json.dumps(
            {"format": FORMAT, **about, SEAL: tensors_digest(tensors)}, sort_keys=True
        )
        with self._replacing(name) as path:
            save_file(
                {key: tensor.contiguous() for key, tensor in tensors.items()},
                path,
                {_HEADER: header},
            )

    def read(self, name: str) -> bytes:
        """Read a small file as it is now.

        Args:
            name: of the file, below the root.

        Returns:
            Its bytes.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        data: bytes = self._fs.cat_file(self._url(name))
        return data

    def local(self, name: str) -> Path:
        """Find where a file whose content never changes can be mapped into memory.

        Args:
            name: of the file, below the root.

        Returns:
            The path of the file itself, or of a copy, which is kept.

        Raises:
            OSError: a copy cannot be made.
        """
        path = Path(self._root if self._is_local else self.cache) / name
        if not self._is_local and not path.exists():
            with whole_file.replacing(path, durable=True) as temporary:
                self._fs.get_file(self._url(name), str(temporary))
        return path

    def set_aside(self, name: str, quarantine: Quarantine, reason: str) -> None:
        """Put a damaged file out of the way: here into the quarantine, elsewhere only the copy.

        Args:
            name: of the file, below the root.
            quarantine: where it goes.
            reason: what is wrong with it.
        """
        if self._is_local:
            quarantine.set_aside(Path(self._root) / name, "index", reason)
        else:
            (self.cache / name).unlink(missing_ok=True)
            quarantine.report("index", self._url(name), reason)

    def fetch(self, name: str, folder: Path) -> Path:
        """Find where a file can be mapped into memory for a while.

        Args:
            name: of the file, below the root.
            folder: of the caller's, for a copy.

        Returns:
            The path of the file itself, or of a copy in the folder.

        Raises:
            OSError: a copy cannot be made.
        """
        if self._is_local:
            return Path(self._root) / name
        self._fs.get_file(self._url(name), str(folder / Path(name).name))
        return folder / Path(name).name

    def remove(self, name: str) -> None:
        """Remove a file and its copy, where they are still there.

        Args:
            name: of the file, below the root.
        """
        if not self._is_local:
            (self.cache / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._url(name))

    def remove_folder(self, folder: str) -> None:
        """Remove a folder's files, and the folder where it is empty then.

        Args:
            folder: below the root.
        """
        for name in self.entries(folder):
            self.remove(f"{folder}/{name}")
        if self._is_local:
            with contextlib.suppress(OSError):  # somebody has put a file there, or removed it, too
                (Path(self._root) / folder).rmdir()

    @contextlib.contextmanager
    def _replacing(self, name: str) -> Iterator[Path]:
        if self._is_local:
            with whole_file.replacing(Path(self._root) / name, durable=True) as temporary:
                yield temporary
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache) as folder:
            yield Path(folder) / "file"
            self._fs.makedirs(self._url(name).rpartition("/")[0], exist_ok=True)
            self._fs.put_file(
                str(Path(folder) / "file"), self._url(name)
            )  # an object appears whole when all of it is there

    def _url(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


@contextlib.contextmanager
def tensors(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open a file: its description, and its tensors by `get_slice(name)[...]`, mapped into memory.
    It is read through when it is first opened since it changed, to see that it is as it was
    written.

    Args:
        path: of the file.

    Yields:
        The description, and the open file.

    Raises:
        UNREADABLE: one of these errors, where it is no such file.
    """
    with safe_open(path, "pt") as file:
        about: dict[str, Any] = json.loads((file.metadata() or {})[_HEADER])
        if about.get("format") != FORMAT:
            raise ValueError(f"format {about.get('format')} is not {FORMAT}")
        _verify(path, about, file)
        yield about, file


def damage(path: Path) -> str | None:
    """Tell what is wrong with a file of tensors.

    Args:
        path: of the file.

    Returns:
        A few words; None for nothing.
    """
    try:
        with tensors(path):
            return None
    except UNREADABLE as error:
        return str(error)


def tensors_digest(found: Mapping[str, Tensor]) -> str:
    """Digest tensors.

    Args:
        found: tensors on the CPU by name.

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    for name, tensor in sorted(found.items()):
        sha.update(name.encode())
        sha.update(tensor.contiguous().numpy().data)
    return sha.hexdigest()


def _verify(path: Path, about: Mapping[str, Any], file: Any) -> None:
    """Hold a file to its digest; those of earlier versions have the first digits in their names.
    Raises ValueError.
    """
    named = re.search(r"-([0-9a-f]{16})$", path.stem)
    wanted = about.get(SEAL) or (named[1] if named else "")

    def digest() -> str:
        found = tensors_digest({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - it is no mapping
        return found[: len(wanted)]

    if wanted:
        try:
            _verified.require(path, wanted, digest, f"{path.name} is not what was written any more")
        except DataLost as error:
            raise ValueError(str(error)) from error


def slug(text: str) -> str:
    """Shorten a text to at most 48 letters, digits and -_., for the eye: no folder, no hidden file,
    not unique.

    Args:
        text: any text.

    Returns:
        The slug, "_" where nothing is left.
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".")[:48] or "_"
