"""The kinds of files that can be imported; the first that fits counts."""

from pathlib import Path

from service.config import ModelTable
from service.models.bundles.archive import SUFFIX
from service.models.checkpoints import ModelError
from service.models.importer import programs, tensors
from service.models.importer.request import FileKind, ImportRequest
from service.models.sources import onnx


def _of_folder(path: Path, request: ImportRequest) -> ModelTable:
    return request.table(source=f"hf:{path.absolute()}")


def _of_bundle(path: Path, request: ImportRequest) -> ModelTable:
    return request.table(source=f"bundle:{path.absolute()}")


def _of_onnx(path: Path, request: ImportRequest) -> ModelTable:
    return request.table(source=f"onnx:{path.absolute()}")


KINDS = (
    FileKind("a folder of Hugging Face's library", lambda path: path.is_dir(), _of_folder),
    FileKind("a bundle", lambda path: path.suffix == SUFFIX, _of_bundle),
    FileKind("an ONNX graph", lambda path: path.suffix == onnx.SUFFIX, _of_onnx),
    programs.KIND,
    tensors.KIND,
)


def table_of(path: Path, request: ImportRequest) -> ModelTable:
    """Describe the network in a file as a settings table does.

    Args:
        path: of the file, or of a folder.
        request: what is known beside it.

    Returns:
        The table; files that it names may lie in the request's scratch folder.

    Raises:
        ModelError: there is no such file, or it holds no network that is known here.
        ValidationError: a value that was given is wrong.
    """
    kind = next((kind for kind in KINDS if kind.fits(path)), None)
    if kind is None:
        raise ModelError(f"there is no file {path}")
    if request.architecture is not None and kind not in (tensors.KIND, programs.KIND):
        raise ModelError(f"{path.name} is {kind.name}, which tells its architecture itself")
    return kind.table(path, request)
