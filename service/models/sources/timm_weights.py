"""Weights of timm's networks: where they are, and how they are loaded."""

import importlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

from torch import nn

from service.models import checkpoints
from service.models.architectures import download_folder
from service.models.checkpoints import ModelError
from service.models.sources import hub
from service.models.sources.timm_config import TimmConfig
from service.models.state_dicts import StateDict

_SAFE, _PICKLED = "model.safetensors", "pytorch_model.bin"
_FILTERS = ("checkpoint_filter_fn", "_filter_fn")  # what timm's modules call what mends names

Make = Callable[[int | None], nn.Module]  # with that many classes, or with its own number for None


def file_of(config: TimmConfig, folder: Path | None) -> Path | None:
    """Find a network's file in the weights folder.

    Args:
        config: of the network.
        folder: that is searched; None for none.

    Returns:
        The path of the file that has its name, or else its name with the tag that timm takes by
        default; None for none.
    """
    names = dict.fromkeys((config.name, config.tagged))
    found = (checkpoints.find(folder, f"timm.{name}") for name in names)
    return next((path for path in found if path is not None), None)


def origin(config: TimmConfig) -> str | None:
    """Tell where a network's published weights come from: a repository of the hub, or a file's
    name; None where there are none.
    """
    if config.cfg.hf_hub_id:
        return str(config.cfg.hf_hub_id)
    return PurePosixPath(urlparse(_url(config)).path).name if _url(config) else None


def download(config: TimmConfig, folder: Path | None) -> Path:
    """Download a network's published weights unless they are cached.

    Args:
        config: of the network, which has published weights.
        folder: the weights folder, in which they are kept; None: where the libraries keep them.

    Returns:
        The file's path. A pickled one was held to its digest.

    Raises:
        ModelError: they cannot be downloaded, or are in a form that is not read.
    """
    name, url = f"timm:{config.name}", _url(config)
    own_file = f"put timm.{config.tagged}.safetensors into the weights folder"
    if config.cfg.hf_hub_id:
        return _from_hub(config, folder, name, own_file)
    if url.endswith(".npz"):
        raise ModelError(
            f"the weights of {name} are published as {url}, in a form that is not read; {own_file}"
        )
    return checkpoints.fetch(url, download_folder(folder))


def _from_hub(config: TimmConfig, folder: Path | None, name: str, own_file: str) -> Path:
    repository, pickled = config.cfg.hf_hub_id, config.cfg.hf_hub_filename or _PICKLED
    safe = _SAFE if pickled == _PICKLED else f"{pickled.rpartition('.')[0]}.safetensors"
    if hub.cached(repository, pickled, folder) is None:
        try:
            return hub.download(repository, safe, folder, name, "timm", own_file)
        except hub.NotOnHub as error:
            try:
                hub.download(repository, pickled, folder, name, "timm", own_file)
            except hub.NotOnHub:
                raise error from None
    path = hub.download(repository, pickled, folder, name, "timm", own_file)
    hub.verify(path, name)
    return path


def _url(config: TimmConfig) -> str:
    url = config.cfg.url
    return str(url[0] if isinstance(url, tuple | list) else url or "")


def load(config: TimmConfig, make: Make, path: Path) -> nn.Module:
    """Make a network with the weights of a file, and the file's number of classes.

    Where the names or shapes are not the network's own, they are mended as timm mends those of the
    checkpoints that it knows: other names, position embeddings of another size, first convolutions
    of other channels. The match must then be exact.

    Args:
        config: of the network.
        make: makes it.
        path: of the file.

    Returns:
        The network.

    Raises:
        ModelError: the file cannot be read, or does not fit.
    """
    found, source = checkpoints.read(path), f"{path.name} of timm:{config.name}"
    classes = _classes(config, found)
    module = make(classes)
    try:
        other = checkpoints.classes_of(module, found, source) if classes is None else None
        module = make(other[0]) if other is not None else module
        checkpoints.load(module, found, source)
    except ModelError:
        if not any(_loaded_by_timm(config, module, table) for table in found):
            raise
    return module


def _classes(config: TimmConfig, found: list[StateDict]) -> int | None:
    """The number of classes that the classifier's weights tell; None if it is not to be seen."""
    for name in config.classifiers:
        for table in found:
            for key, tensor in table.tensors.items():
                if f".{key}".endswith(f".{name}.weight") and tensor.ndim >= 2:
                    return int(tensor.shape[0])
    return None


def _loaded_by_timm(config: TimmConfig, module: Any, table: StateDict) -> bool:
    """Let timm mend a table of tensors; whether it then fits exactly."""
    models = importlib.import_module("timm.models")
    home = importlib.import_module(models.model_entrypoint(config.architecture).__module__)
    mend = next((f for name in _FILTERS if (f := getattr(home, name, None))), None)
    cfg = config.cfg.to_dict() | {"state_dict": dict(table.tensors), "source": None}
    try:
        models.load_pretrained(
            module,
            cfg | {"num_classes": getattr(module, "num_classes", config.cfg.num_classes)},
            num_classes=getattr(module, "num_classes", config.cfg.num_classes),
            in_chans=_in_channels(module),
            filter_fn=mend,
            strict=True,
        )
    except Exception:  # noqa: BLE001 - timm's filters raise anything for files that are not theirs
        return False
    return True


def _in_channels(module: nn.Module) -> int:
    """The channels of the first convolution."""
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3
