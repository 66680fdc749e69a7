"""Weights as files: found, downloaded, verified, read without unpickling, and loaded strictly."""

import hashlib
import http.client
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import structlog
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]

log = structlog.get_logger("striate")

_HASH_IN_NAME = re.compile(
    r"-([0-9a-f]{8,64})\.\w+$"
)  # torch hub's custom: the file name ends in the first digits of its SHA-256
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")
_TRAINING_HEADS = ("aux1.", "aux2.", "AuxLogits.")  # of googlenet and inception_v3
_SHOWN = 3


class ModelError(RuntimeError):
    """A model cannot be loaded as asked; the message says why and what would help."""


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


def read(path: Path) -> State:
    """Read the tensors of a .safetensors or .pth file. Files that hold any other objects are
    refused.

    Args:
        path: of the file; any other suffix than .safetensors is read as .pth.

    Returns:
        The tensors by name, those of a .pth file on the CPU.

    Raises:
        ModelError: the file cannot be read, or holds something else.
    """
    try:
        state: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    except Exception as error:  # what damaged archives make torch raise is open-ended
        raise ModelError(
            f"{path.name} holds no plain tensors, or is damaged; others are never unpickled"
        ) from error
    for wrapper in ("state_dict", "model"):  # checkpoints of common training scripts
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"{path.name} holds no state dict, a table of tensors by name")
    return state


def load(module: nn.Module, state: State, source: str) -> None:
    """Load a state dict strictly: every tensor of the module is set, and none is left over.

    Names are mended as torchvision mends those of its own files: the dots in densenet's, the heads
    that only training uses; so is the prefix that data-parallel training leaves.

    Args:
        module: that is changed.
        state: tensors by name.
        source: of the tensors, for the error.

    Raises:
        ModelError: names or shapes do not fit.
    """
    expected = module.state_dict()
    state = _mended(state, expected)
    try:
        found = module.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{source} does not fit: {error}") from error
    complaints = [
        f"{len(keys)} {kind} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"
        for kind, keys in (("missing", found.missing_keys), ("unexpected", found.unexpected_keys))
        if keys
    ]
    if complaints:
        raise ModelError(
            f"{source} does not fit the architecture's {len(expected)} tensors: "
            f"{'; '.join(complaints)}"
        )


def _mended(state: State, expected: Mapping[str, Tensor]) -> State:
    if all(name.startswith("module.") for name in state) and not any(
        name.startswith("module.") for name in expected
    ):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    mended: OrderedDict[str, Tensor] = OrderedDict()
    for name, tensor in state.items():
        renamed = _OLD_DENSENET.sub(r"\1\2", name)
        if renamed in expected or not renamed.startswith(_TRAINING_HEADS):
            mended[renamed] = tensor
    # Files of bare tensors do not tell the version of the module that wrote them, without which
    # mnasnet refuses them.
    own = getattr(expected, "_metadata", {})
    mended._metadata = getattr(state, "_metadata", {"": own.get("", {})})  # type: ignore[attr-defined]
    return mended
