"""Files of tensors: `.safetensors`, and what `torch.save` writes."""

from pathlib import Path
from typing import Any

from service.config import ModelTable
from service.models import checkpoints
from service.models.architectures import architecture
from service.models.importer.normalization import without_normalization
from service.models.importer.recognition import recognize
from service.models.importer.request import FileKind, ImportRequest
from service.models.importer.sandbox import plain_copy
from service.models.state_dicts import StateDict

_COLOURS = 3
_TIMM = "timm:"  # names of a source, and not of an architecture that is known by name


def _table(path: Path, request: ImportRequest) -> ModelTable:
    """Read a checkpoint, find its architecture, and take the normalization out that it holds before
    the network.
    """
    found, seen = without_normalization(_read(path, request))
    name = request.architecture or recognize(found, path.name)
    file = path
    if seen or path.suffix != ".safetensors":
        plain = path.suffix == ".safetensors"  # which the copy is not
        file = request.scratch / (f"{path.stem}.pth" if plain else path.name)
        checkpoints.write(found, file)
    kept = {"source" if name.startswith(_TIMM) else "architecture": name}
    return request.table(**kept, weights=file, **_for_each_channel(name, seen))


def _read(path: Path, request: ImportRequest) -> list[StateDict]:
    try:
        return checkpoints.read(path)
    except checkpoints.PickledObjects:
        if not request.trust_pickle:
            raise
        return checkpoints.read(plain_copy(path, request.scratch))


def _for_each_channel(name: str, seen: dict[str, Any]) -> dict[str, Any]:
    """One value of mean and std for each channel of an architecture's images."""
    known = architecture(name)
    channels = known.published.preprocessing.channels if known else _COLOURS
    return {k: v * channels if len(v) == 1 else v for k, v in seen.items()}


KIND = FileKind("a file of tensors", lambda path: path.is_file(), _table)
