"""Weights as files: found, downloaded, verified, read without unpickling, and loaded strictly."""

import argparse
import hashlib
import http.client
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from service.datasets.foreign import what_else
from service.models.checkpoint_families import looks_like
from service.models.state_dicts import (
    StateDict,
    StateDictError,
    fitting,
    number_of_classes,
    tables,
)

log = structlog.get_logger("striate")

_HASH_IN_NAME = re.compile(
    r"-([0-9a-f]{8,64})\.\w+$"
)  # torch hub's custom: the file name ends in the first digits of its SHA-256


# The arguments of timm's training script stand in its checkpoints. Making one runs no code: it is
# given attributes, which nobody asks for.
torch.serialization.add_safe_globals([argparse.Namespace])


class ModelError(RuntimeError):
    """A model cannot be loaded as asked; the message says why and what would help."""


class PickledObjects(ModelError):
    """A file holds objects that only unpickling would read."""


def find(folder: Path | None, name: str) -> Path | None:
    """Find a file of weights in a folder.

    Args:
        folder: that is searched; None for none.
        name: of the file, without its suffix.

    Returns:
        The path of `<name>.safetensors`, else of `<name>.pth`, else None.
    """
    candidates = (
        [folder / f"{name}{suffix}" for suffix in (".safetensors", ".pth")] if folder else []
    )
    return next((path for path in candidates if path.is_file()), None)


def fetch(url: str, folder: Path) -> Path:
    """Download a file with a progress bar on stderr unless it is there already.

    The file name has to hold the first digits of a SHA-256, to which downloaded and cached files
    are both held; a cached file that fails is fetched again.

    Args:
        url: of the file.
        folder: where it is kept; made if need be.

    Returns:
        The file's path.

    Raises:
        ModelError: it cannot be downloaded, has no digest in its name, or is not what its name
            promises.
    """
    name = Path(urlparse(url).path).name
    path = folder / name
    match = _HASH_IN_NAME.search(name)
    if match is None:
        raise ModelError(
            f"{name} is not downloaded: its name holds no digest by which it could be verified"
        )
    promised = match.group(1)
    if path.is_file():
        if _sha256(path).startswith(promised):
            return path
        log.warning("a cached file is damaged and is downloaded again", file=str(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=promised)
    except RuntimeError as error:  # torch hub's word for a wrong hash
        raise ModelError(f"{name} was downloaded but is damaged: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{name} cannot be downloaded: {error}") from error
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(path: Path) -> list[StateDict]:
    """Read the tensors of a .safetensors or .pth file. Files that hold objects of other classes
    are refused.

    Args:
        path: of the file; any other suffix than .safetensors is read as .pth.

    Returns:
        Every table of tensors in it, those of a .pth file on the CPU.

    Raises:
        ModelError: the file cannot be read, or holds something else.
    """
    try:
        contents: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, SafetensorError) as error:
        what = what_else(path)
        raise ModelError(
            f"{path.name} {what}" if what else f"{path.name} cannot be read: {error}"
        ) from error
    except Exception as error:  # what damaged archives make torch raise is open-ended
        if what := what_else(path):
            raise ModelError(f"{path.name} {what}") from error
        raise PickledObjects(f"{path.name} {_refused_objects(path)}") from error
    found = list(tables(contents))
    if not found:
        raise ModelError(f"{path.name} holds no state dict, a table of tensors by name")
    return found


def write(found: list[StateDict], path: Path) -> None:
    """Write tables of tensors to a file that `read` reads.

    Args:
        found: the tables.
        path: of the file.
    """
    torch.save({table.where or "state_dict": table.tensors for table in found}, path)


def load(module: nn.Module, found: list[StateDict], source: str) -> None:
    """Load a checkpoint strictly: every tensor of the module is set, and none is left over.

    Args:
        module: that is changed.
        found: the checkpoint's tables of tensors, of which the one that fits is taken.
        source: of the tensors, for the error.

    Raises:
        ModelError: names or shapes do not fit.
    """
    state = _fitting(found, module, source)
    tensors = OrderedDict(state.tensors)
    # Files of bare tensors do not tell the version of the module that wrote them, without which
    # mnasnet refuses them.
    own = getattr(module.state_dict(), "_metadata", {})
    tensors._metadata = {"": own.get("", {})}  # type: ignore[attr-defined]
    expected = module.state_dict()
    other = [k for k, tensor in tensors.items() if tensor.shape != expected[k].shape]
    if other:
        raise ModelError(
            f"{source} does not fit: {len(other)} of {len(expected)} tensors have another shape, "
            f"with a size mismatch for {other[0]}, {tuple(tensors[other[0]].shape)} where "
            f"{tuple(expected[other[0]].shape)} is wanted{_likeness(found)}"
        )
    try:
        module.load_state_dict(tensors)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{source} does not fit: {error}") from error
    if state.where:
        log.info("weights stand inside a checkpoint", file=source, where=state.where)


def classes_of(module: nn.Module, found: list[StateDict], source: str) -> tuple[int, str] | None:
    """Read a checkpoint's number of classes off its last layer's weights.

    Args:
        module: of the same architecture.
        found: the checkpoint's tables of tensors.
        source: of the tensors, for the error.

    Returns:
        The number and the name of the tensor that tells it; None if it is the module's own.

    Raises:
        ModelError: no table has the module's names.
    """
    return number_of_classes(_fitting(found, module, source).tensors, module.state_dict())


def _fitting(found: list[StateDict], module: nn.Module, source: str) -> StateDict:
    try:
        return fitting(found, module.state_dict())
    except StateDictError as error:
        raise ModelError(f"{source} {error}{_likeness(found)}") from error


def _likeness(found: list[StateDict]) -> str:
    kind = next((k for table in found if (k := looks_like(table.tensors))), None)
    return f"; they look like a checkpoint of {kind}" if kind else ""


def _refused_objects(path: Path) -> str:
    """What stands in a file beside tensors; the names alone are read, nothing is made."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # noqa: BLE001 - a damaged archive may raise anything
        names = []
    if names:
        found = ", ".join(sorted(names)[:3])
        return (
            f"holds objects of {found}: others than plain tensors are never unpickled by a server; "
            f"`striate-server import --trust-pickle` makes a bundle of it, if you trust its author"
        )
    return "holds no plain tensors, or is damaged; others are never unpickled"
