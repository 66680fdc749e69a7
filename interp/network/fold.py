"""A faster copy of a network: batch norm folded into the layer before it, and a shorter way back to
the pixels (`interp.network.stem`).

In eval mode a batch norm is a fixed affine map of each channel, and an affine map after a
convolution or a linear layer is one such layer with other weights (Jacob et al. 2018, section 3.2).
The copy runs the network's own code, with other weights in some layers and the identity in place of
their norms, and it is used only where it is proven to be the same function: whatever is odd about a
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

from interp.network.equivalence import Snapshot, alike, close, hooked, steady
from interp.network.stem import Stem, fits

_FOLDABLE: dict[type[nn.Module], tuple[type[nn.Module], Callable[..., tuple[Tensor, Tensor]]]] = {
    nn.Linear: (nn.BatchNorm1d, fuse_linear_bn_weights),
    nn.Conv1d: (nn.BatchNorm1d, fuse_conv_bn_weights),
    nn.Conv2d: (nn.BatchNorm2d, fuse_conv_bn_weights),
    nn.Conv3d: (nn.BatchNorm3d, fuse_conv_bn_weights),
}


@dataclass(frozen=True, eq=False)
class Copy:
    """A module with the same names as the one that it is a copy of, the same logits, and the same
    outputs of `layers`.
    """

    module: nn.Module
    layers: frozenset[str]
    modules: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "modules", {name: part for name, part in self.module.named_modules() if name}
        )


class Folded:
    """The folded copy of a module: made when it is first asked for, and given up for good when the
    module has been changed since.

    While there are hooks on the module, which may watch it or be part of what it does, there is no
    copy. Making one is for the thread that runs the networks: while torch traces one, no other
    thread may call a module.

    Args:
        module: see `folded`.
        example: gives its example.
    """

    def __init__(self, module: nn.Module, example: Callable[[], Tensor]) -> None:
        self._module, self._example = module, example
        self._modules = list(module.modules())
        self._made: tuple[Copy, Snapshot] | None = None
        self._given_up = False

    def copy(self) -> Copy | None:
        """The copy, or None where there is none."""
        if self._given_up or hooked(self._modules):
            return None
        if self._made is None:
            with torch.inference_mode(
                False
            ):  # what is made there could not be differentiated later
                snapshot, made = Snapshot(self._module), folded(self._module, self._example())
            self._made = None if made is None else (made, snapshot)
        if self._made is not None and self._made[1].holds():
            return self._made[0]
        self._given_up, self._made = True, None
        return None


def folded(module: nn.Module, example: Tensor) -> Copy | None:
    """A copy of `module` without what batch norms can be folded away and with a `Stem`; it shares
    all weights that stay as they are.

    Args:
        module: maps images to logits (B, classes), and has been put into eval mode. It is run, but
            not changed.
        example: images (B, C, H, W) as the module takes them, on which the copy must agree with it.

    Returns:
        The copy, and the layers whose outputs on `example` are the same. None where there is
            nothing to gain or the copy is
        not surely the same function: the module cannot be traced symbolically (its way depends on
            its input), has hooks, is not
        wholly in eval mode, draws random numbers, changes itself as it runs, or has other logits or
            gradients on `example`.
    """
    modules = list(module.modules())
    if (
        not any(isinstance(m, _BatchNorm) or fits(m) for m in modules)
        or any(m.training for m in modules)
        or hooked(modules)
    ):
        return None
    try:
        return _proven(module, example) if steady(module, example) else None
    except Exception:  # noqa: BLE001 - a user's own network may raise anything when traced or copied; it is used as it is
        return None


def _proven(module: nn.Module, example: Tensor) -> Copy | None:
    """The copy; None if nothing can be gained by one, or it is another function.

    It is computed and compared in float64, where rounding cannot open or shut a rectifier, and
    rounded once.
    """
    exact = copy.deepcopy(module).double()
    pairs = _pairs(exact)
    if not pairs and not any(map(fits, exact.modules())):
        return None
    weights = {
        name: _weights(exact.get_submodule(name), exact.get_submodule(norm))
        for name, norm in pairs.items()
    }
    others = {name for name, _ in exact.named_modules() if name} - weights.keys()
    layers = alike(exact, _rebuilt(exact, pairs, weights), example[:1].double(), others)
    if layers is None:
        return None
    rebuilt = _rebuilt(module, pairs, weights)
    with torch.no_grad():
        return Copy(rebuilt, layers) if close(rebuilt(example), module(example)) else None


def _pairs(module: nn.Module) -> dict[str, str]:
    """The layers that can take up a batch norm, and its name: both are called once, and nothing
    else sees what is in between.
    """
    calls = [node for node in fx.symbolic_trace(module).graph.nodes if node.op == "call_module"]
    times = Counter(str(node.target) for node in calls)
    pairs = {}
    for node in calls:
        source, norm = node.args[0] if node.args else None, module.get_submodule(str(node.target))
        if source not in calls or not isinstance(source, fx.Node) or len(source.users) > 1:
            continue
        name = str(source.target)
        once = times[name] == times[str(node.target)] == 1
        if once and _takes_up(module.get_submodule(name), norm):
            pairs[name] = str(node.target)
    return pairs


def _takes_up(layer: nn.Module, norm: nn.Module) -> bool:
    """Whether a layer can take up a norm that is all that follows it; a kind of layer or norm of
    somebody's own may be anything.
    """
    if type(layer) not in _FOLDABLE or type(norm) is not _FOLDABLE[type(layer)][0]:
        return False
    return (
        isinstance(norm, _BatchNorm)
        and norm.running_mean is not None
        and norm.running_var is not None
    )


def _weights(layer: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of the layer with the norm in it."""
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


def _rebuilt(
    module: nn.Module, pairs: dict[str, str], weights: dict[str, tuple[Tensor, Tensor]]
) -> nn.Module:
    """A copy of the module with these weights, the identity in place of each norm, stems where they
    fit, and else its very parameters.
    """
    twin = copy.deepcopy(module, {id(t): t for t in (*module.parameters(), *module.buffers())})
    for name, (weight, bias) in weights.items():
        layer: Any = twin.get_submodule(name)
        own = layer.weight
        layer.weight = nn.Parameter(
            torch.empty_like(own).copy_(weight), requires_grad=False
        )  # in the memory format of its own
        layer.bias = nn.Parameter(bias.to(own), requires_grad=False)
    new: dict[nn.Module | None, nn.Module] = {
        twin.get_submodule(norm): nn.Identity() for norm in pairs.values()
    }
    new |= {
        part: Stem(part) for part in twin.modules() if isinstance(part, nn.Conv2d) and fits(part)
    }
    for parent in list(twin.modules()):
        for name, part in list(parent._modules.items()):  # a part may have several names
            if part in new:
                setattr(parent, name, new[part])
    return twin.eval()
