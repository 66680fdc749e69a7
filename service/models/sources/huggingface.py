"""Networks of Hugging Face: a folder as `save_pretrained` writes it, or a repository of the hub.
config.json tells the architecture, preprocessor_config.json how images are taken, and
model.safetensors holds the weights. Neither transformers nor anybody's code is run.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from service.models import checkpoints
from service.models.blueprint import RANDOM, Blueprint
from service.models.checkpoints import ModelError
from service.models.initialization import Uninitialized
from service.models.sources import hub
from service.models.sources.huggingface_images import preprocessing
from service.models.sources.huggingface_resnet import (
    ResNetConfig,
    recipe,
    resnet,
    torchvision_name,
)
from service.models.sources.source import NetworkSource, Wanted

CONFIG, IMAGES, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"

# organization, repository, and a branch, tag or commit, which has no name in common with them: "@"
_REVISION = r"((?:@[A-Za-z0-9_][A-Za-z0-9._-]*)?)"
_REPOSITORY = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_-]*)/([A-Za-z0-9_][A-Za-z0-9._-]*){_REVISION}")
_HOSTED = re.compile(rf"([A-Za-z0-9][A-Za-z0-9_-]*)\.([A-Za-z0-9_][A-Za-z0-9._-]*){_REVISION}")
_LONGEST = 96  # characters that the hub allows each of the names
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_JSON_BYTES = 16 << 20

Files = Callable[[str], Path]  # where a file of the network is, by name; raises ModelError


def plan(place: str, wanted: Wanted) -> Blueprint:
    """Plan a network of Hugging Face's; the weights are looked for only when it is made.

    Args:
        place: "ORGANIZATION/REPOSITORY", with "@REVISION" for a branch, tag or commit other than
            the main branch's last; or a folder, which begins with "/".
        wanted: the weights; `wanted.folder` may hold the repository's files in a folder
            "hf.ORGANIZATION.REPOSITORY", which goes before the hub.

    Returns:
        The plan.

    Raises:
        ModelError: a file is missing or unreadable, or the architecture is not known here.
    """
    name, files = f"hf:{place}", _files(place, wanted.folder)
    about = files(CONFIG)
    commit = about.parent.name if _COMMIT.fullmatch(about.parent.name) else ""
    if commit:  # of the hub: all files are those of one commit
        files = partial(_on_hub, place, wanted.folder, commit)
    config = ResNetConfig.of(_read_json(name, about), name)
    seen, doubts = preprocessing(_read_json(name, files(IMAGES)), name)
    if wanted.weights == RANDOM:
        weights, build = (
            RANDOM,
            partial(_undrawn, config, wanted.classes or config.number_of_classes or 2),
        )
    else:
        path = wanted.file
        weights = path.name if path else WEIGHTS
        build = partial(_loaded, config, name, partial(_weights, files, path))
    classes = config.classes
    return Blueprint(
        config.architecture,
        build,
        seen,
        classes,
        weights,
        bool(classes),
        doubts,
        recipe(config),
        source=_address(place, commit) if weights == WEIGHTS else "",
    )


def _hosted(place: str) -> str | None:
    match = _REPOSITORY.fullmatch(place)
    if match is None or any(len(part) > _LONGEST for part in match.groups()):
        return None
    organization, repository, revision = match.groups()
    return f"{organization}.{repository}{revision}"


def _rest(hosted: str) -> str | None:
    match = _HOSTED.fullmatch(hosted)
    place = f"{match[1]}/{match[2]}{match[3]}" if match else ""
    return place if _hosted(place) == hosted else None


def _address(place: str, commit: str) -> str:
    """Where the weights were published; "" for a folder of the server's."""
    if place.startswith("/"):
        return ""
    repository, _, revision = place.partition("@")
    revision = commit or revision
    return f"https://huggingface.co/{repository}" + (f"/tree/{revision}" if revision else "")


def _files(place: str, folder: Path | None) -> Files:
    """Where the files are: in a folder of the server's, in the weights folder, or on the hub."""
    if place.startswith("/"):
        return partial(_in_folder, Path(place))
    hosted = _hosted(place)
    if hosted is None:
        raise ModelError(f"hf:{place} is no name of a network; {SOURCE.meant}")
    if folder is not None and (folder / f"hf.{hosted}").is_dir():
        return partial(_in_folder, folder / f"hf.{hosted}")
    return partial(_on_hub, place, folder, "")


def _in_folder(folder: Path, file: str) -> Path:
    path = folder / file
    if not path.is_file():
        raise ModelError(f"{folder} has no {file}; {_MISSING[file]}")
    return path


_MISSING = {
    CONFIG: "a folder is meant that `save_pretrained` of transformers wrote",
    IMAGES: "copy that of the network which yours was trained from: it tells size, mean and std",
    WEIGHTS: "save the network again with `save_pretrained`, which writes it (in one piece with "
    '`max_shard_size="50GB"`); pickled weights are not read',
}


def _on_hub(place: str, folder: Path | None, commit: str, file: str) -> Path:
    """A file of a repository, downloaded unless it is cached; in the weights folder, if any.
    commit: in the place of the revision, "" for that one.
    """
    otherwise = (
        f"put its {CONFIG}, {IMAGES} and {WEIGHTS} into a folder hf.{_hosted(place)} of the "
        f"weights folder"
    )
    repository = f"{place.partition('@')[0]}@{commit}" if commit else place
    return hub.download(repository, file, folder, f"hf:{place}", "hf", otherwise)


def _weights(files: Files, file: Path | None) -> Path:
    return file or files(WEIGHTS)


def _read_json(name: str, path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelError(f"{path.name} of {name} is larger than {_MAX_JSON_BYTES >> 20} MiB")
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} of {name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} of {name} holds {type(found).__name__}, not a JSON object")
    return found


def _undrawn(config: ResNetConfig, classes: int) -> nn.Module:
    with Uninitialized():
        return resnet(config, classes)


def _loaded(config: ResNetConfig, name: str, weights: Callable[[], Path]) -> nn.Module:
    """The network with its weights, whose last layer tells the number of classes."""
    path = weights()
    source = f"{path.name} of {name}"
    module = _undrawn(config, config.number_of_classes or 2)
    found = [
        replace(table, tensors={torchvision_name(k): t for k, t in table.tensors.items()})
        for table in checkpoints.read(path)
    ]
    other = checkpoints.classes_of(module, found, source)
    if other is not None:
        module = _undrawn(config, other[0])
    checkpoints.load(module, found, source)
    return module


SOURCE = NetworkSource(
    "hf:ORGANIZATION/REPOSITORY names a repository of Hugging Face's hub, "
    "hf:ORGANIZATION/REPOSITORY@REVISION a branch, tag or commit of it, and in a settings table "
    "alone hf:/FOLDER one of its networks on disk",
    _hosted,
    _rest,
    plan,
)
