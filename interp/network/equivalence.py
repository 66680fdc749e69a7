"""Whether a copy of a network is the same function: compared in outputs and gradients, and only
where the network keeps to itself.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def hooked(modules: Iterable[nn.Module]) -> bool:
    """Whether any of the modules calls somebody else as it runs."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in modules
    )


class Snapshot:
    """What a module was when a copy of it was made, to tell later whether the copy is still one."""

    def __init__(self, module: nn.Module) -> None:
        self._modules = list(module.modules())
        self._parts = [
            (owner, name, part)
            for m in self._modules
            for owner in _owners(m)
            for name, part in owner.items()
        ]
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


@torch.no_grad()
def steady(module: nn.Module, example: Tensor) -> bool:
    """Whether the module gives the same bits again, leaves itself as it is, and draws from nobody's
    generator.
    """
    before, attributes = Snapshot(module), [dict(vars(m)) for m in module.modules()]
    first, drew = module(example), []
    for _ in range(2):  # another thread may draw meanwhile, but hardly both times
        states = _generator_states(example.device)
        if not torch.equal(module(example), first):
            return False
        drew.append(states != _generator_states(example.device))
    same = all(
        vars(m).get(name) is value
        for m, kept in zip(module.modules(), attributes, strict=True)
        for name, value in kept.items()
    )
    return same and before.holds() and not all(drew)


def _generator_states(device: torch.device) -> list[object]:
    legacy = np.random.get_state(legacy=False)
    states: list[object] = [torch.get_rng_state().tolist(), random.getstate(), str(legacy)]
    return states + ([torch.cuda.get_rng_state(device).tolist()] if device.type == "cuda" else [])


def close(actual: Tensor, expected: Tensor) -> bool:
    """Whether each row is the same but for rounding, measured by its spread; never where one is
    constant or not finite.
    """
    precision = torch.finfo(expected.dtype).eps ** 0.5
    error = (actual - expected).flatten(1).abs().amax(1)
    return actual.shape == expected.shape and bool(
        (error < precision * expected.flatten(1).std(1)).all()
    )


def alike(
    exact: nn.Module, fused: nn.Module, example: Tensor, layers: set[str]
) -> frozenset[str] | None:
    """Those of the layers of which both give the same outputs; None unless the logits and the
    gradients are the same, too.
    """
    expected, actual = _seen(exact, example, layers), _seen(fused, example, layers)
    precision = torch.finfo(example.dtype).eps ** 0.5
    same = {
        name
        for name in expected.marks.keys() & actual.marks.keys()
        if abs(expected.marks[name] - actual.marks[name]) < precision
    }
    if (
        not same == expected.marks.keys() == actual.marks.keys()
    ):  # gradients are compared for those alone that agree
        expected, actual = _seen(exact, example, same), _seen(fused, example, same)
    proven = close(actual.logits, expected.logits) and close(actual.grad, expected.grad)
    return frozenset(same) if proven else None


@dataclass(frozen=True, eq=False)
class _Seen:
    logits: Tensor
    marks: dict[str, float]  # of the layers whose output is not constant
    grad: Tensor  # of the sum of the marks, that of the logits among them


def _seen(module: nn.Module, example: Tensor, layers: set[str]) -> _Seen:
    """What a module makes of the images.

    Gradients, because tracing loses `no_grad` and whatever gradients a network has of its own
    making: it may have misled us about what lies between a layer and its norm.
    """
    x, marks = example.detach().requires_grad_(), dict[str, Tensor]()

    def note(name: str, output: Any) -> None:
        if (
            isinstance(output, Tensor)
            and output.is_floating_point()
            and bool(output.std(correction=0) > 0)
        ):
            marks[name] = _mark(output)  # at once: it may be overwritten later

    with (
        torch.enable_grad(),
        watched({name: part for name, part in module.named_modules() if name in layers}, note),
    ):
        logits: Tensor = module(x)
        (grad,) = torch.autograd.grad(torch.stack([_mark(logits), *marks.values()]).sum(), x)
    return _Seen(
        logits.detach(), {name: float(mark.detach()) for name, mark in marks.items()}, grad
    )


def _mark(output: Tensor) -> Tensor:
    """A sum of the output in which every entry has its own weight, in units of its spread: one
    number that tells outputs apart.
    """
    weights = torch.linspace(1, 2, output.numel(), device=output.device, dtype=output.dtype).view(
        output.shape
    )
    mark: Tensor = (output * weights).sum() / (
        output.detach().std(correction=0) * output.numel() ** 0.5
    )
    return mark


@contextmanager
def watched(modules: dict[str, nn.Module], note: Callable[[str, Any], None]) -> Iterator[None]:
    """Meanwhile, `note` is called with the name and the output of each of the modules that
    has run.
    """
    handles = [
        part.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, part in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
