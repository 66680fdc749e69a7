"""Rewritten copies of a network that end with the layer which is explained."""

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from interp.attribution.pools import Mean
from interp.attribution.result import Unexplainable
from interp.attribution.rewriting import Rewriter, Shapes, truncated
from interp.layer import LOGITS, LayerPath
from interp.network.network import Network


def target(path: LayerPath) -> tuple[int, ...]:
    """Which output of a rewritten copy is a unit's, as captum takes it. Raises ValueError unless
    `path` is resolved.
    """
    if path.central:
        raise ValueError(f"the position of {path} must be given in numbers")
    return (path.unit or 0, *(path.position or ()))


def rewritten(
    network: Network,
    path: LayerPath,
    method: str,
    objection: Callable[[fx.GraphModule], str],
    fuse: bool = False,
) -> nn.Module:
    """A rewritten copy (see `rewriting`) that ends with the layer of `path`.

    It maps normalized images (B, C, H, W) to the layer's output (B, K, ...), or where `path` names
    no position to its means (B, K).

    Args:
        method: its name in errors.
        objection: what in the copy keeps the method from being right, in words; "" if nothing does.

    Raises:
        Unexplainable: there are such steps, the network cannot be traced, or what was traced is not
            the same function.
    """
    example = network.normalized(
        torch.rand(2, *network.shape, generator=torch.Generator().manual_seed(0))
    )
    whole = path.position is None and len(network.output_shapes[path.layer]) == 3
    try:
        traced = truncated(network.module, None if path.layer == LOGITS else path.layer)
        if whole:
            _append_mean(traced)
        Shapes(traced).run(example)
        Rewriter(traced, fuse)
        Shapes(traced).run(example)
    except torch.OutOfMemoryError:
        raise  # that is no fault of the network's
    except Exception as error:
        raise Unexplainable(
            f"{method} does not apply to {network_name(network)}, which cannot be traced: "
            f"{_line(error)}"
        ) from error
    if reason := objection(traced):
        raise Unexplainable(f"{method} does not apply to {network_name(network)}: {reason}")
    _check(traced(example), network, path, method)
    return traced


def _append_mean(traced: fx.GraphModule) -> None:
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    traced.add_submodule("mean_over_positions", Mean())
    with traced.graph.inserting_before(output):
        output.args = (traced.graph.call_module("mean_over_positions", (output.args[0],)),)
    traced.recompile()


@torch.no_grad()
def _check(found: Tensor, network: Network, path: LayerPath, method: str) -> None:
    example = torch.rand(2, *network.shape, generator=torch.Generator().manual_seed(0))
    expected = network.activations(example, [path.layer])[path.layer]
    if expected.ndim == 4 and found.ndim == 2:
        expected = expected.mean((2, 3))
    scale = expected.abs().max().clamp_min(1e-6)
    if found.shape != expected.shape or not (found - expected).abs().max() <= 1e-3 * scale:
        raise Unexplainable(
            f"{method} does not apply to {network_name(network)}: its copy for hooks is "
            f"not the same function"
        )


def network_name(network: Network) -> str:
    """The class of its module, for errors."""
    return type(network.module).__name__


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
