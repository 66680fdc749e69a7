"""A rewritten copy of a network that ends with the explained layer, as captum's methods need it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx

from interp.attribution.model_copy.constants import ShapeRecorder
from interp.attribution.model_copy.pool_modules import GlobalAvgPool
from interp.attribution.model_copy.rewriter import Rewriter, trace_until
from interp.attribution.result import MethodNotApplicable
from interp.layer import LOGITS, LayerPath
from interp.network.channel_axis import Layout
from interp.network.network import Network


def captum_target(path: LayerPath) -> tuple[int, ...]:
    """Return which output of a `captum_model` is a unit's, as captum takes it.

    Raises:
        ValueError: the position of `path` is not given in numbers.
    """
    if path.central:
        raise ValueError(f"the position of {path} must be given in numbers")
    return (path.unit or 0, *(path.position or ()))


@torch.no_grad()
def target_score(outputs: Tensor, path: LayerPath) -> Tensor:
    """Return a unit's score (B,) from the outputs (B, K, ...) of a `captum_model`."""
    unit, *position = captum_target(path)
    activation = outputs.detach()[:, unit]
    return activation[:, position[0], position[1]] if position else activation


def captum_model(
    network: Network,
    path: LayerPath,
    method: str,
    unsupported: Callable[[fx.GraphModule], str],
    fuse: bool = False,
) -> fx.GraphModule:
    """Make a rewritten copy of a network (see `rewriter`) that ends with the layer of `path`.

    Args:
        network: is not changed.
        path: a unit of the layer.
        method: its name in errors.
        unsupported: says what in the copy keeps the method from being right; "" if nothing does.
        fuse: fold batch norms into the convolutions before them.

    Returns:
        a module that maps normalized images (B, C, H, W) to the layer's output (B, K, ...), or
        where `path` names no position to its means (B, K).

    Raises:
        MethodNotApplicable: there are unsupported steps, the network cannot be traced, or what was
            traced is not the same function.
    """
    name, example = type(network.module).__name__, network.normalized(_example(network))
    try:
        traced = _trace(network, path, example, fuse)
    except torch.OutOfMemoryError:
        raise  # that is no fault of the network's
    except Exception as error:
        line = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise MethodNotApplicable(
            f"{method} does not apply to {name}, which cannot be traced: {line}"
        ) from error
    if reason := unsupported(traced):
        raise MethodNotApplicable(f"{method} does not apply to {name}: {reason}")
    if not _is_same_function(traced(example), network, path):
        raise MethodNotApplicable(
            f"{method} does not apply to {name}: its copy for hooks is not the same function"
        )
    return traced


def _example(network: Network) -> Tensor:
    """Two images of noise (2, C, H, W) in [0, 1], always the same."""
    return torch.rand(2, *network.shape, generator=torch.Generator().manual_seed(0))


def _trace(network: Network, path: LayerPath, example: Tensor, fuse: bool) -> fx.GraphModule:
    """The rewritten copy, with the shapes of its tensors for normalized images."""
    layer = None if path.layer == LOGITS else path.layer
    traced = trace_until(network.module, layer, example, network.turn)
    layout = network.layouts[path.layer]
    if not layout.is_standard:
        _append_permutation(traced, layout)
    if path.position is None and len(network.output_shapes[path.layer]) == 3:
        _append_global_pool(traced)
    ShapeRecorder(traced).run(example)
    Rewriter(traced, fuse)
    ShapeRecorder(traced).run(example)
    return traced


def _append_permutation(traced: fx.GraphModule, layout: Layout) -> None:
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    with traced.graph.inserting_before(output):
        permuted = traced.graph.call_method("permute", (output.args[0], 0, *layout.axes))
        output.args = (permuted,)
    traced.recompile()


def _append_global_pool(traced: fx.GraphModule) -> None:
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    traced.add_submodule("mean_over_positions", GlobalAvgPool())
    with traced.graph.inserting_before(output):
        output.args = (traced.graph.call_module("mean_over_positions", (output.args[0],)),)
    traced.recompile()


@torch.no_grad()
def _is_same_function(outputs: Tensor, network: Network, path: LayerPath) -> bool:
    """Whether the copy's outputs of `_example` are the network's, within a thousandth."""
    expected = network.activations(_example(network), [path.layer])[path.layer]
    if expected.ndim == 4 and outputs.ndim == 2:
        expected = expected.mean((2, 3))
    scale = expected.abs().max().clamp_min(1e-6)
    return outputs.shape == expected.shape and bool(
        (outputs - expected).abs().max() <= 1e-3 * scale
    )


@contextmanager
def captum_warnings_ignored() -> Iterator[None]:
    """Ignore captum's warnings that it sets hooks, while the context lasts: this is a copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
