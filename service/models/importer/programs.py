"""TorchScript and torch.export files: programs, from which the weights are taken.

Loading one may run code, so that only trusted ones are read, in a process without network. What is
hosted is the architecture that has the same tensors, once it was found to give the same logits:
TorchScript takes no hooks.
"""

import zipfile
from pathlib import Path

import torch

from service.config import ModelTable
from service.models import checkpoints
from service.models.catalogue import Catalogue
from service.models.checkpoints import ModelError
from service.models.importer.recognition import recognize
from service.models.importer.request import FileKind, ImportRequest
from service.models.importer.sandbox import run_program

_MARKS = ("/constants.pkl", "/serialized_exported_program.json", "/models/model.json")
_IMAGES = 2
_MOST = 1e-4  # by which logits may differ that two programs compute in float32
_NAME = "network"


def _fits(path: Path) -> bool:
    if path.suffix == ".pt2":
        return path.is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(_MARKS) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _table(path: Path, request: ImportRequest) -> ModelTable:
    if not request.trust_pickle:
        raise ModelError(
            f"{path.name} is a program of TorchScript or torch.export, which may run code when it "
            f"is read: with --trust-pickle it is read in a process without network, if you trust "
            f"its author; of a stranger take ONNX (torch.onnx.export(model, images, 'net.onnx', "
            f"dynamo=True, external_data=False)) or a state dict"
        )
    plain = request.scratch / f"{path.stem}.pth"
    run_program(path, plain)
    found = checkpoints.read(plain)
    name = request.architecture or recognize(found, path.name)
    table = request.table(architecture=name, weights=plain)
    plan = Catalogue(None, {_NAME: table}).blueprint(_NAME)
    checked = request.scratch / "checked.pth"
    run_program(path, checked, (_IMAGES, *plan.preprocessing.shape))
    (answers,) = (state for state in checkpoints.read(checked) if state.where == "checked")
    images, logits = answers.tensors["images"], answers.tensors["logits"]
    with torch.no_grad():
        ours = plan.build().eval()(images)
    if ours.shape != logits.shape or not torch.allclose(ours, logits, rtol=1e-4, atol=_MOST):
        raise ModelError(
            f"{path.name} has the tensors of {name} and computes something else: its logits "
            f"differ; write the network with torch.onnx.export and import that file"
        )
    return table


KIND = FileKind("a program of TorchScript or torch.export", _fits, _table)
