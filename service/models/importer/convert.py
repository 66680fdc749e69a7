"""From a file to a bundle: the network is built, tried as a server tries it, and written."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import ValidationError

from service import files
from service.config import HOSTED_NAME
from service.models.bundles.archive import SUFFIX
from service.models.bundles.export import export
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.hosted import HostedModel, host
from service.models.importer.kinds import table_of
from service.models.importer.request import ImportRequest

_ENDINGS = re.compile(r"(\.pth|\.pt|\.tar|\.ckpt|\.bin|\.safetensors|\.onnx|\.pt2|\.ts)+$")


def convert(
    path: Path, out: Path, request: ImportRequest, name: str = "", force: bool = False
) -> tuple[Path, HostedModel]:
    """Make a bundle of a file.

    Args:
        path: of the file, or of a folder of Hugging Face's library.
        out: folder of the bundle.
        request: what is known of the network beside the file; its scratch folder is chosen here.
        name: of the network; "": the file's, without its ending.
        force: a bundle of that name is replaced.

    Returns:
        The bundle's path, and the network as it was tried.

    Raises:
        ModelError: it cannot be read, does not run, or the bundle is there already.
        OSError: the bundle cannot be written.
    """
    name = name or re.sub(r"[^\w.-]+", "-", _ENDINGS.sub("", path.name))
    if not HOSTED_NAME.fullmatch(name):
        raise ModelError(
            f"--name must have letters, digits, '_', '.' and '-', at most 100, not {name!r}"
        )
    target = out / f"{name}{SUFFIX}"
    if target.exists() and not force:
        raise ModelError(f"{target} is there already; replace it with --force, or choose a --name")
    with tempfile.TemporaryDirectory(prefix="striate-import-") as scratch:
        try:
            table = table_of(path, replace(request, scratch=Path(scratch)))
        except ValidationError as error:
            raise ModelError(_complaint(error)) from error
        plan = Catalogue(None, {name: table}).blueprint(name)
        model = host(name, plan, plan.build(), torch.device("cpu"))
        with files.replacing(target) as unfinished, unfinished.open("wb") as file:
            export(model, file)
    return target, model


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = " ".join(f"--{part}" for part in first["loc"][:1])
    reason = first["msg"].removeprefix("Value error, ")
    return f"{where}: {reason} (is {first['input']!r})" if where else reason
