"""A faster copy of a network: batch norm folded into the layer before it, and a shorter way back to
the pixels (`interp.network.folding.stem`).

In eval mode a batch norm is a fixed affine map of each channel, and an affine map after a
convolution or a linear layer is one such layer with other weights (Jacob et al. 2018, section 3.2).
The copy runs the network's own code, with other weights in some layers and the identity in place of
their norms, and it is used only where it is shown to be the same function: whatever is odd about a
network, a fault most of all, must stay as it is.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from interp.network.folding.compound_norm import (
    CompoundNorm,
    NormTracer,
    is_compound_norm,
    take_apart,
)
from interp.network.folding.equivalence import equal_layers, is_close
from interp.network.folding.module_state import is_deterministic
from interp.network.folding.stem import StemConv2d, is_stem_convolution
from interp.network.hooks import has_hooks
from interp.network.shared_copy import shared_copy
from interp.network.symbolic_trace import ALONE, Turn

_FOLDABLE: dict[type[nn.Module], tuple[type[nn.Module], Callable[..., tuple[Tensor, Tensor]]]] = {
    nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_weights),
    nn.Conv1d: (nn.BatchNorm1d, fuse_conv_bn_weights),
    nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_weights),
    nn.Conv3d: (nn.BatchNorm3d, fuse_conv_bn_weights),
}


@dataclass(frozen=True, eq=False)
class FoldedModule:
    """A module with the same names as the one that it is a copy of, and the same logits.

    Attributes:
        module: maps images to logits.
        layers: dotted names of those whose outputs are the same, too.
        modules: all its parts by dotted name.
    """

    module: nn.Module
    layers: frozenset[str]
    modules: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        """List the parts."""
        modules = {name: part for name, part in self.module.named_modules() if name}
        object.__setattr__(self, "modules", modules)


def fold_batch_norms(module: nn.Module, example: Tensor, turn: Turn = ALONE) -> FoldedModule | None:
    """Copy a module without what batch norms can be folded away, and with a `StemConv2d`.

    Args:
        module: maps images to logits (B, classes), and has been put into eval mode. It is run, but
            not changed.
        example: images (B, C, H, W) as the module takes them, on which the copy must agree with it.
        turn: held while the module is traced, see `interp.network.symbolic_trace`.

    Returns:
        the copy, which shares all weights that stay as they are, and the layers whose outputs on
        `example` are the same. None where there is nothing to gain or the copy is not surely the
        same function: the module cannot be traced symbolically (its way depends on its input), has
        hooks, is not wholly in eval mode, draws random numbers, changes itself as it runs, or has
        other logits or gradients on `example`.
    """
    modules = list(module.modules())
    gains = any(
        isinstance(m, _BatchNorm) or is_compound_norm(m) or is_stem_convolution(m) for m in modules
    )
    if not gains or any(m.training for m in modules) or has_hooks(modules):
        return None
    try:
        deterministic = is_deterministic(module, example)
        return _verified_copy(module, example, turn) if deterministic else None
    except Exception:  # noqa: BLE001 - a user's own network may raise anything when traced or copied; it is used as it is
        return None


def _verified_copy(module: nn.Module, example: Tensor, turn: Turn) -> FoldedModule | None:
    """The copy; None if nothing can be gained by one, or it is another function.

    It is computed and compared in float64, where rounding cannot open or shut a rectifier, and
    rounded once.
    """
    exact = copy.deepcopy(module).double()
    maps = _foldable(exact, example.double(), turn)
    if not maps and not any(map(is_stem_convolution, exact.modules())):
        return None
    weights = {
        layer: _fused_weights(exact.get_submodule(layer), found) for layer, found in maps.items()
    }
    others = {name for name, _ in exact.named_modules() if name} - weights.keys()
    rebuilt = _with_weights(exact, {m.name: m.rest(exact, turn) for m in maps.values()}, weights)
    layers = equal_layers(exact, rebuilt, example[:1].double(), others)
    if layers is None:
        return None
    rebuilt = _with_weights(module, {m.name: m.rest(module, turn) for m in maps.values()}, weights)
    with torch.no_grad():
        close = is_close(rebuilt(example.clone()), module(example.clone()))
    return FoldedModule(rebuilt, layers) if close else None


@dataclass(frozen=True, eq=False)
class _Map:
    """What a norm does to each channel.

    Attributes:
        name: of the norm.
        norm: itself.
        compound: what it was taken apart into; None for torch's own norms, which do nothing else.
    """

    name: str
    norm: nn.Module
    compound: CompoundNorm | None

    def rest(self, module: nn.Module, turn: Turn) -> nn.Module:
        """What stands in the norm's place in a copy of a module."""
        if self.compound is None:
            return nn.Identity()
        found = take_apart(module.get_submodule(self.name), turn)
        assert found is not None
        return found.rest


def _foldable(module: nn.Module, example: Tensor, turn: Turn) -> dict[str, _Map]:
    """The layers that can take up a norm, and what that does: both are called once, and nothing
    else sees what is in between.
    """
    graph = NormTracer(example, turn).trace(module)
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(str(node.target) for node in calls)
    found = {}
    for node in calls:
        source, name = node.args[0] if node.args else None, str(node.target)
        if source not in calls or not isinstance(source, fx.Node) or len(source.users) > 1:
            continue
        layer, norm = str(source.target), module.get_submodule(name)
        if not times[layer] == times[name] == 1:
            continue
        if _can_fold(module.get_submodule(layer), norm):
            found[layer] = _Map(name, norm, None)
        elif is_compound_norm(norm) and type(module.get_submodule(layer)) is nn.Conv2d:
            compound = take_apart(norm, turn)
            if compound is not None:
                found[layer] = _Map(name, norm, compound)
    return found


def _can_fold(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether a layer can take up a norm of torch's that is all that follows it."""
    if type(layer) not in _FOLDABLE or type(norm) is not _FOLDABLE[type(layer)][0]:
        return False
    return (
        isinstance(norm, _BatchNorm)
        and norm.running_mean is not None
        and norm.running_var is not None
    )


def _fused_weights(layer: Any, found: _Map) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer with the norm's map in it."""
    norm: Any = found.norm
    if found.compound is not None:
        scale, shift = found.compound.scale, found.compound.shift
        bias = shift if layer.bias is None else layer.bias * scale + shift
        return layer.weight * scale.view(-1, 1, 1, 1), bias
    _, fuse = _FOLDABLE[type(layer)]
    return fuse(
        layer.weight,
        layer.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )


def _with_weights(
    module: nn.Module, rests: dict[str, nn.Module], weights: dict[str, tuple[Tensor, Tensor]]
) -> nn.Module:
    """A copy of the module with these weights, what is left of each norm in its place, stems where
    they fit, and else its very parameters.
    """
    twin = shared_copy(module)
    for name, (weight, bias) in weights.items():
        layer: Any = twin.get_submodule(name)
        former = layer.weight
        fused = torch.empty_like(former).copy_(
            weight.detach()
        )  # in the former weight's memory format
        layer.weight = nn.Parameter(fused, requires_grad=False)
        layer.bias = nn.Parameter(bias.detach().to(former), requires_grad=False)
    new: dict[nn.Module | None, nn.Module] = {
        twin.get_submodule(norm): rest for norm, rest in rests.items()
    }
    new |= {
        part: StemConv2d(part)
        for part in twin.modules()
        if isinstance(part, nn.Conv2d) and is_stem_convolution(part)
    }
    for parent in list(twin.modules()):
        for name, part in list(parent._modules.items()):  # a part may have several names
            if part in new:
                setattr(parent, name, new[part])
    return twin.eval()
