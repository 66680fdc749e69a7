"""The file of a bundle: a ZIP archive whose members are stored as they are.

`bundle.toml` says what the network is, `weights.safetensors` holds its tensors, and `graph.onnx`,
in bundles of ONNX networks alone, the graph with its own weights. Equal contents give equal bytes.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from service.models.bundles.description import BundleDescription, as_toml, read_toml
from service.models.checkpoints import ModelError

SUFFIX = ".striate"

_DESCRIPTION, _WEIGHTS, _GRAPH = "bundle.toml", "weights.safetensors", "graph.onnx"
_MAX_DESCRIPTION_BYTES = 64 << 20
_MAX_GRAPH_BYTES = 2 << 30
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a ZIP archive can hold
_UNIX = 3  # of ZIP's numbers of systems
_ENCRYPTED = 1  # of ZIP's flags


@dataclass(frozen=True)
class Bundle:
    """A bundle whose description was read, and whose tensors are read on demand.

    Attributes:
        path: of the file.
        description: of the network.
        graph: an ONNX graph, or none.
    """

    path: Path
    description: BundleDescription
    graph: bytes

    def tensors(self) -> dict[str, Tensor]:
        """Read the weights.

        Returns:
            The tensors by name.

        Raises:
            ModelError: they cannot be read.
        """
        with _opened(self.path) as archive:
            try:
                return safetensors.torch.load(archive.read(_WEIGHTS))
            except SafetensorError as error:
                raise ModelError(f"{_WEIGHTS} of {self.path.name}: {error}") from error


def read(path: Path) -> Bundle:
    """Open a bundle.

    Args:
        path: of the file.

    Returns:
        The bundle.

    Raises:
        ModelError: it is no bundle, damaged, or of a newer form.
    """
    with _opened(path) as archive:
        description = read_toml(archive.read(_DESCRIPTION), path.name)
        graph = archive.read(_GRAPH) if _GRAPH in archive.namelist() else b""
    return Bundle(path, description, graph)


def write(
    file: IO[bytes],
    description: BundleDescription,
    tensors: Mapping[str, Tensor],
    graph: bytes = b"",
) -> None:
    """Write a bundle.

    Args:
        file: to which it is written.
        description: of the network.
        tensors: its state dict.
        graph: an ONNX graph, for architectures that take one.
    """
    # A state dict may hold one tensor under two names, or views of a larger one.
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    members = {_DESCRIPTION: as_toml(description), _WEIGHTS: safetensors.torch.save(own)}
    if graph:
        members[_GRAPH] = graph
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, contents in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _UNIX, 0o644 << 16
            archive.writestr(info, contents)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose members were checked before any is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(path, archive.infolist())
            yield archive
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{path.name} is no bundle, or damaged: {error}") from error


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse what `write` does not write: other members, and such as grow when they are read."""
    names = sorted(member.filename for member in members)
    if names not in ([_DESCRIPTION, _WEIGHTS], sorted([_DESCRIPTION, _GRAPH, _WEIGHTS])):
        found = ", ".join(name[:40] for name in names[:4]) or "nothing"
        raise ModelError(
            f"{path.name} is no bundle: it holds {found}, where {_DESCRIPTION} and {_WEIGHTS} are "
            f"meant, and {_GRAPH} at most"
        )
    most = {_DESCRIPTION: _MAX_DESCRIPTION_BYTES, _GRAPH: _MAX_GRAPH_BYTES}
    whole = path.stat().st_size
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & _ENCRYPTED:
            raise ModelError(f"{path.name}: {member.filename} is compressed, or under a password")
        if member.file_size > min(whole, most.get(member.filename, whole)):
            raise ModelError(f"{path.name}: {member.filename} is larger than may be")
