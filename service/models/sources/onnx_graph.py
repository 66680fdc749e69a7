"""ONNX graphs: checked, made ready for images one by one, and turned into a torch module.

A graph is data: reading it runs nothing, so that it may be a stranger's. What would make a pass run
away or reach for other files is refused: loops, functions, weights in files of their own.
"""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any

from torch import nn

from service.models.checkpoints import ModelError
from service.process import packages

ARCHITECTURE = "onnx"
MAX_BYTES = 1 << 31  # a message of protobuf has at most so many

_MAX_NODES = 20_000
_DOMAINS = ("", "ai.onnx")
_SUBGRAPHS = ("If", "Loop", "Scan", "SequenceMap")
_CHANNELS = (1, 3)
_FLOAT = 1  # of ONNX's numbers of types
_EXTERNAL = 1  # likewise of where a tensor's values are
_SOFTMAX = (
    "the graph ended in a softmax, which is left out: its probabilities are what `classify` tells, "
    "and its logits are what attacks and pictures take"
)
_FIXED = (
    "the graph was exported for a batch of {found}; it is taken for any number of images, and what "
    "it answers together is compared with what it answers alone when it is loaded"
)


@dataclass(frozen=True)
class Graph:
    """A graph that was checked.

    Attributes:
        data: its bytes, the changes made that `doubts` tells.
        channels: of the images.
        size: (height, width) of the images in pixels; None: the graph takes any.
        doubts: what was changed.
    """

    data: bytes
    channels: int
    size: tuple[int, int] | None
    doubts: tuple[str, ...]


def read(data: bytes, name: str) -> Graph:
    """Check a graph, and make it ready: for any number of images, and with logits at its end.

    Args:
        data: the bytes of an ONNX file.
        name: of the file, for errors.

    Returns:
        The graph.

    Raises:
        ModelError: it is no graph that can be hosted; or the packages for ONNX are missing.
    """
    model = _parsed(data, name)
    _check(model, name)
    graph, doubts = model.graph, []
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"{name} has {len(inputs)} inputs, and a network of images has one")
    batch, channels, size = _shape(inputs[0], name)
    if batch is not None:
        _free_the_batch(graph, inputs[0], batch)
        doubts.append(_FIXED.format(found=batch))
    if _without_softmax(graph):
        doubts.append(_SOFTMAX)
    changes = [_without_copies(graph, weights), _without_training_mode(graph, name)]
    if not any(changes) and not doubts:
        return Graph(data, channels, size, ())
    return Graph(model.SerializeToString(deterministic=True), channels, size, tuple(doubts))


def build(data: bytes) -> nn.Module:
    """Turn a graph into a module.

    Args:
        data: of a graph that `read` gave.

    Returns:
        The module, its weights the graph's.

    Raises:
        ModelError: a node cannot be turned; or the packages for ONNX are missing.
    """
    model = _parsed(data, "the graph")
    _check(model, "the graph")
    converter = _package("onnx2pytorch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's, of what it does not prune
            module: nn.Module = converter.ConvertModel(model, experimental=True)
    except Exception as error:  # whatever a node made the converter raise
        raise ModelError(
            f"a node of the graph cannot be turned into a torch module: {str(error)[:300]}; host "
            f"the network as a `factory` of a settings file"
        ) from error
    return module.eval()


def _parsed(data: bytes, name: str) -> Any:
    onnx = _package("onnx")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's errors differ between its versions
        raise ModelError(f"{name} is no ONNX file, or damaged: {error}") from error
    if not model.graph.node:
        raise ModelError(f"{name} is no ONNX file, or an empty one: it has no nodes")
    return model


def _check(model: Any, name: str) -> None:
    """Refuse what is no plain graph."""
    nodes = model.graph.node
    if len(nodes) > _MAX_NODES:
        raise ModelError(f"{name} has {len(nodes)} nodes, more than {_MAX_NODES}")
    if model.functions:
        raise ModelError(f"{name} has functions of its own: export it with its nodes inlined")
    for node in nodes:
        if node.domain not in _DOMAINS:
            raise ModelError(f"{name} has the node {node.op_type} of {node.domain}, not ONNX's own")
        if node.op_type in _SUBGRAPHS:
            raise ModelError(f"{name} has the node {node.op_type}: its way must be fixed")
    for tensor in model.graph.initializer:
        if tensor.data_location == _EXTERNAL:
            raise ModelError(
                f"{name} keeps the weights {tensor.name!r} in another file: save it in one file "
                f"(external_data=False of torch.onnx.export)"
            )


def _shape(value: Any, name: str) -> tuple[int | None, int, tuple[int, int] | None]:
    """Images a pass (None for any), channels and size of a graph's input."""
    kind = value.type.tensor_type
    if kind.elem_type != _FLOAT:
        raise ModelError(f"{name} takes no float32: export it in float32, images in floats")
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if len(dims) != 4:
        raise ModelError(f"{name} takes {len(dims)} axes, and images have 4 (N, C, H, W)")
    batch, channels, height, width = dims
    if channels not in _CHANNELS:
        last = " (rows and columns seem to come first)" if width in _CHANNELS else ""
        raise ModelError(
            f"{name} takes images of {channels or 'any number of'} channels{last}; export it for "
            f"(N, C, H, W) with 1 or 3 channels"
        )
    return batch, channels, (height, width) if height and width else None


def _free_the_batch(graph: Any, value: Any, batch: int) -> None:
    """Have a graph take any number of images: where it reshapes to its own number, the number is
    what comes.
    """
    value.type.tensor_type.shape.dim[0].dim_param = "N"
    numpy_helper = _package("onnx.numpy_helper")
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in targets:
            _reshape_any(tensor, batch, numpy_helper)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in targets:
            for attribute in node.attribute:
                if attribute.name == "value":
                    _reshape_any(attribute.t, batch, numpy_helper)
    del graph.value_info[:]  # shapes of what lies between, with the old number
    for output in graph.output:
        dims = output.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_param = "N"


def _reshape_any(tensor: Any, batch: int, numpy_helper: Any) -> None:
    shape = numpy_helper.to_array(tensor).copy()
    if shape.ndim == 1 and len(shape) > 1 and shape[0] == batch:
        shape[0] = 0 if (shape[1:] == -1).any() else -1  # 0: as many as come in
        tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))


def _without_copies(graph: Any, weights: set[str]) -> bool:
    """Have nodes take weights themselves, and not copies of them by Identity nodes, which torch's
    older exporter makes where two layers have equal weights.
    """
    outputs = {value.name for value in graph.output}
    copies = dict[str, str]()
    for node in list(graph.node):
        is_copy = node.op_type == "Identity" and node.input[0] in weights | copies.keys()
        if is_copy and node.output[0] not in outputs:
            copies[node.output[0]] = copies.get(node.input[0], node.input[0])
            graph.node.remove(node)
    for node in graph.node if copies else ():
        for place, taken in enumerate(node.input):
            node.input[place] = copies.get(taken, taken)
    return bool(copies)


def _without_training_mode(graph: Any, name: str) -> bool:
    """Leave out that a batch norm is not in training mode, which the converter does not know."""
    found = False
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            for attribute in [a for a in node.attribute if a.name == "training_mode"]:
                if attribute.i:
                    raise ModelError(f"{name} was exported in training mode: call eval() before")
                node.attribute.remove(attribute)
                found = True
    return found


def _without_softmax(graph: Any) -> bool:
    """Cut the softmax off that makes a graph's output."""
    for index, node in enumerate(graph.node):
        if node.op_type == "Softmax" and node.output[0] == graph.output[0].name:
            graph.output[0].name = node.input[0]
            del graph.node[index]
            return True
    return False


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"ONNX networks take `{packages.extra('onnx')}` in a checkout of Striate"
        ) from error
