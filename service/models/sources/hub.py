"""Files of Hugging Face's hub, through its own library, kept in the weights folder."""

import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

from service.models.checkpoints import ModelError
from service.process import packages

_DIGEST = re.compile(r"[0-9a-f]{64}")


class NotOnHub(ModelError):
    """A repository has no such file, or none of it is cached and there is no connection."""


def cached(repository: str, file: str, folder: Path | None) -> Path | None:
    """Find a file of a repository that was downloaded before; nobody is asked.

    Args:
        repository, file, folder: see `download`.

    Returns:
        The file's path; None if it is not there, or the hub's library is missing.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
        return _ask(hub, repository, file, folder, local_files_only=True)
    except Exception:  # noqa: BLE001 - the library's own, which `download` tells
        return None


def download(
    repository: str, file: str, folder: Path | None, name: str, extra: str, otherwise: str
) -> Path:
    """Download a file of a repository unless it is cached.

    Args:
        repository: "ORGANIZATION/REPOSITORY", with "@REVISION" for another revision than the main
            one.
        file: its name there.
        folder: the weights folder, in which the files are kept under "huggingface"; None: where
            the hub's library keeps them.
        name: of the network, for errors.
        extra: that brings the hub's library.
        otherwise: what else a user can do without that library, for the error.

    Returns:
        The file's path.

    Raises:
        NotOnHub: the repository has no such file.
        ModelError: the library is missing, or the file cannot be downloaded.
    """
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise ModelError(
            f"{name} is on the hub, which takes `{packages.extra(extra)}` in a checkout of "
            f"Striate; or {otherwise}"
        ) from error
    found = cached(repository, file, folder)
    if found is not None:  # at once, where the library would first ask the hub, again and again
        return found
    try:
        return _ask(hub, repository, file, folder)
    except Exception as error:  # of the hub, of the network, of the disk
        reason = next((line for line in str(error).splitlines() if line.strip()), "")
        absent = any(base.__name__ == "EntryNotFoundError" for base in type(error).__mro__)
        kind = NotOnHub if absent else ModelError
        raise kind(
            f"{file} of {name} cannot be downloaded: {type(error).__name__}: {reason}"
        ) from error


def _ask(hub: Any, repository: str, file: str, folder: Path | None, **options: Any) -> Path:
    place, _, revision = repository.partition("@")
    if revision:
        options["revision"] = revision
    cache = folder / "huggingface" if folder else None
    return Path(hub.hf_hub_download(place, file, cache_dir=cache, **options))


def verify(path: Path, name: str) -> None:
    """Hold a downloaded file to the digest under which the hub's library keeps it.

    Args:
        path: of the file; the library keeps large files as blobs that are called by their SHA-256.
        name: of the network, for the error.

    Raises:
        ModelError: the file has another digest than it is called by, or is called by none.
    """
    promised = path.resolve().name
    if not _DIGEST.fullmatch(promised):
        raise ModelError(
            f"{path.name} of {name} is pickled, and is not read: the hub tells no digest by which "
            f"it could be verified"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != promised:
        raise ModelError(
            f"{path.name} of {name} was downloaded but is damaged: its SHA-256 begins with "
            f"{found[:8]} where {promised[:8]} is promised; delete {path.resolve()}"
        )
