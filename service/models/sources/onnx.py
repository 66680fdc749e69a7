"""ONNX files as a source: a file of the server's, by its path."""

from functools import partial
from pathlib import Path

from torch import nn

from service.imaging import Preprocessing
from service.models.blueprint import RANDOM, Blueprint
from service.models.checkpoints import ModelError
from service.models.recipe import Recipe
from service.models.sources import onnx_graph
from service.models.sources.source import NetworkSource, Wanted

SUFFIX = ".onnx"


def plan(place: str, wanted: Wanted) -> Blueprint:
    """Plan the network of an ONNX file.

    Args:
        place: path of the file.
        wanted: the size, where the graph takes any.

    Returns:
        The plan; pixels are taken in [0, 1] as they are, unless a table says otherwise.

    Raises:
        ModelError: the file cannot be read, or is no network of images.
    """
    path = Path(place)
    if wanted.weights == RANDOM or wanted.file is not None:
        raise ModelError(f"{path.name} has its weights in its graph; there are no others for it")
    graph = onnx_graph.read(_bytes(path), path.name)
    size = wanted.size or graph.size
    if size is None:
        raise ModelError(
            f"{path.name} takes images of any size: say which (`size`, or --size to an import)"
        )
    if graph.size not in (None, size):
        raise ModelError(f"{path.name} takes images of {graph.size} pixels, not of {size}")
    pixels = (0.0,) * graph.channels, (1.0,) * graph.channels
    seen = Preprocessing(graph.channels, *size, max(size), "bilinear", *pixels)
    return Blueprint(
        onnx_graph.ARCHITECTURE,
        partial(_built, graph.data),
        seen,
        (),
        path.name,
        doubts=graph.doubts,
        recipe=Recipe(onnx_graph.ARCHITECTURE, {}, graph.data),
    )


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > onnx_graph.MAX_BYTES:
            raise ModelError(f"{path.name} is larger than an ONNX file of one piece can be")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read: {error.strerror}") from error


def _built(data: bytes) -> nn.Module:
    return onnx_graph.build(data)


SOURCE = NetworkSource(
    "onnx:/FILE names an ONNX file on disk, in a settings table alone",
    lambda place: None,
    lambda hosted: None,
    plan,
)
