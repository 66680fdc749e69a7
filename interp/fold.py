"""Batch norm folded into the layer before it: the same function in fewer operations, on a copy of the network.

In eval mode a batch norm is a fixed affine map of each channel, and an affine map after a convolution or a linear layer is
one such layer with other weights (Jacob et al. 2018, section 3.2). The copy is used only where it is proven to be the
same function: whatever is odd about a network, a fault most of all, must stay as it is.
"""

import copy
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.modules.batchnorm import _BatchNorm


class Folded:
    """The folded copy of a module: made when it is first asked for, and given up for good when the module has been changed since.

    While there are hooks on the module, which may watch it or be part of what it does, there is no copy. Making one is for the
    thread that runs the networks: while torch traces one, no other thread may call a module.

    Args:
        module: see `folded`.
        example: gives its example.
    """

    def __init__(self, module: nn.Module, example: Callable[[], Tensor]) -> None:
        self._module, self._example = module, example
        self._modules = list(module.modules())
        self._made: tuple[nn.Module, Snapshot] | None = None
        self._given_up = False

    def copy(self) -> nn.Module | None:
        """The copy, or None where there is none."""
        if self._given_up or hooked(self._modules):
            return None
        if self._made is None:
            with torch.inference_mode(False):  # what is made there could not be differentiated later
                snapshot, made = Snapshot(self._module), folded(self._module, self._example())
            self._made = None if made is None else (made, snapshot)
        if self._made is not None and self._made[1].holds():
            return self._made[0]
        self._given_up, self._made = True, None
        return None


def folded(module: nn.Module, example: Tensor) -> nn.Module | None:
    """A copy of `module` (of the same dtype, in channels_last format) without the batch norms that can be folded away.

    Args:
        module: maps images to logits (B, classes), and has been put into eval mode. It is run, but not changed.
        example: images (B, C, H, W) as the module takes them, on which the copy must agree with it.

    Returns:
        None where there is nothing to fold or a copy is not surely the same function: the module cannot be traced symbolically
        (its way depends on its input), has hooks, is not wholly in eval mode, draws random numbers, changes itself as it runs,
        or has other logits or gradients on `example` than the copy.
    """
    modules = list(module.modules())
    if not any(isinstance(m, _BatchNorm) for m in modules) or any(m.training for m in modules) or hooked(modules):
        return None
    try:
        return _fused(module, example) if _steady(module, example) else None
    except Exception:  # noqa: BLE001 - a user's own network may raise anything when traced or copied; it is used as it is
        return None


def hooked(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules calls somebody else as it runs."""
    return any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks for m in modules)


class Snapshot:
    """What a module was when a copy of it was made, to tell later whether the copy is still one."""

    def __init__(self, module: nn.Module) -> None:
        self._modules = list(module.modules())
        self._parts = [(owner, name, part) for m in self._modules for owner in _owners(m) for name, part in owner.items()]
        tensors = (part for _, _, part in self._parts if isinstance(part, Tensor))
        self._versions = [(t, t._version) for t in tensors]

    def holds(self) -> bool:
        """Whether no module trains, no tensor was written to and no part replaced."""
        return (
            not any(m.training for m in self._modules)
            and all(t._version == version for t, version in self._versions)
            and all(owner.get(name) is part for owner, name, part in self._parts)
        )


def _owners(module: nn.Module) -> tuple[dict[str, Any], ...]:
    return module._parameters, module._buffers, module._modules


def _fused(module: nn.Module, example: Tensor) -> nn.Module | None:
    """The copy; None if torch's own fusing finds nothing in it, or it is another function.

    It is computed and compared in float64, where rounding cannot open or shut a rectifier, and rounded once.
    """
    exact = copy.deepcopy(module).double()
    traced = fx.symbolic_trace(exact)
    norms = _norms(traced)
    fused = fuse(traced, inplace=True, no_trace=True)
    if _norms(fused) == norms or not all(map(_close, _seen(fused, example[:1].double()), _seen(exact, example[:1].double()))):
        return None
    fused = fused.to(example.dtype).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    with torch.no_grad():
        return fused if _close(fused(example), module(example)) else None


def _norms(traced: nn.Module) -> int:
    """How many batch norms a traced module calls."""
    assert isinstance(traced, fx.GraphModule)
    modules = dict(traced.named_modules())
    return sum(node.op == "call_module" and isinstance(modules[str(node.target)], _BatchNorm) for node in traced.graph.nodes)


@torch.no_grad()
def _steady(module: nn.Module, example: Tensor) -> bool:
    """Whether the module gives the same bits again, leaves itself as it is, and draws from nobody's generator."""
    before, attributes = Snapshot(module), [dict(vars(m)) for m in module.modules()]
    first, drew = module(example), []
    for _ in range(2):  # another thread may draw meanwhile, but hardly both times
        states = _generator_states(example.device)
        if not torch.equal(module(example), first):
            return False
        drew.append(states != _generator_states(example.device))
    same = all(vars(m).get(name) is value for m, kept in zip(module.modules(), attributes, strict=True) for name, value in kept.items())
    return same and before.holds() and not all(drew)


def _generator_states(device: torch.device) -> list[object]:
    legacy = np.random.get_state(legacy=False)
    states: list[object] = [torch.get_rng_state().tolist(), random.getstate(), str(legacy)]
    return states + ([torch.cuda.get_rng_state(device).tolist()] if device.type == "cuda" else [])


def _close(actual: Tensor, expected: Tensor) -> bool:
    """Whether each row is the same but for rounding, measured by its spread; never where one is constant or not finite."""
    precision = torch.finfo(expected.dtype).eps ** 0.5
    error = (actual - expected).flatten(1).abs().amax(1)
    return actual.shape == expected.shape and bool((error < precision * expected.flatten(1).std(1)).all())


def _seen(module: nn.Module, example: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the images, and the gradient of a sum of them in which every class has its own weight.

    Gradients, because tracing loses `no_grad` and whatever gradients a network has of its own making.
    """
    x = example.detach().requires_grad_()
    with torch.enable_grad():
        logits: Tensor = module(x)
        weights = torch.linspace(1, 2, logits.shape[1], device=x.device, dtype=x.dtype)
        (grad,) = torch.autograd.grad((logits * weights).sum(), x)
    return logits.detach(), grad
