"""Whether a copy of a module is the same function: compared in outputs and gradients."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interp.network.hooks import forward_hooks


def is_close(actual: Tensor, expected: Tensor) -> bool:
    """Whether each row is the same but for rounding, measured by the spread of its entries.

    Args:
        actual, expected: (B, ...), compared by the precision of `expected`'s dtype.

    Returns:
        False, too, where the shapes differ, or a row is constant or not finite.
    """
    precision = torch.finfo(expected.dtype).eps ** 0.5
    error = (actual - expected).flatten(1).abs().amax(1)
    return actual.shape == expected.shape and bool(
        (error < precision * expected.flatten(1).std(1)).all()
    )


def equal_layers(
    exact: nn.Module, fused: nn.Module, example: Tensor, layers: set[str]
) -> frozenset[str] | None:
    """Find the layers of which two modules give the same outputs.

    Args:
        exact: the module.
        fused: what may be a copy of it, with the same names.
        example: images (B, C, H, W) as both take them.
        layers: dotted names to be compared.

    Returns:
        those that agree; None unless the logits and the gradients are the same, too.
    """
    expected, actual = _responses(exact, example, layers), _responses(fused, example, layers)
    precision = torch.finfo(example.dtype).eps ** 0.5
    same = {
        name
        for name in expected.sketches.keys() & actual.sketches.keys()
        if abs(expected.sketches[name] - actual.sketches[name]) < precision
    }
    # gradients are compared for those alone that agree
    if not same == expected.sketches.keys() == actual.sketches.keys():
        expected, actual = _responses(exact, example, same), _responses(fused, example, same)
    equal = is_close(actual.logits, expected.logits) and is_close(actual.grad, expected.grad)
    return frozenset(same) if equal else None


@dataclass(frozen=True, eq=False)
class _Responses:
    """What a module makes of the example."""

    logits: Tensor
    sketches: dict[str, float]  # of the layers whose output is not constant
    grad: Tensor  # of the sum of the sketches, that of the logits among them


def _responses(module: nn.Module, example: Tensor, layers: set[str]) -> _Responses:
    """Run a module forwards and backwards.

    Gradients, because tracing loses `no_grad` and whatever gradients a network has of its own
    making: it may have misled us about what lies between a layer and its norm.
    """
    x, sketches = example.detach().requires_grad_(), dict[str, Tensor]()

    def keep(name: str, output: Any) -> None:
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return
        if bool(output.std(correction=0) > 0):
            sketches[name] = _sketch(output)  # at once: it may be overwritten later

    parts = {name: part for name, part in module.named_modules() if name in layers}
    with torch.enable_grad(), forward_hooks(parts, keep):
        logits: Tensor = module(x.clone())
        (grad,) = torch.autograd.grad(torch.stack([_sketch(logits), *sketches.values()]).sum(), x)
    values = {name: float(sketch.detach()) for name, sketch in sketches.items()}
    return _Responses(logits.detach(), values, grad)


def _sketch(output: Tensor) -> Tensor:
    """A sum of the output in which every entry has its own weight, in units of its spread: one
    number that tells outputs apart.
    """
    weights = torch.linspace(1, 2, output.numel(), device=output.device, dtype=output.dtype)
    total = (output * weights.view(output.shape)).sum()
    sketch: Tensor = total / (output.detach().std(correction=0) * output.numel() ** 0.5)
    return sketch
