"""The layers of a module, found by one forward pass."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from interp.network.hooks import forward_hooks
from interp.network.load_checks.outputs import LogitsPath, find_logits

_ENTRIES = 256  # of each row of an output, which are kept to compare passes


@dataclass
class LayerTrace:
    """What one forward pass of some images tells of a module's layers.

    Attributes:
        images: their number B.
        shapes: layer -> output shape with its first axis, in the order in which the pass finishes
            them.
        calls: module -> how often the pass calls it.
        overwritten: the layers whose output a later in-place operation changes.
        samples: layer -> (B, n) some entries of each row, the same ones for every B, of outputs
            whose first axis has B rows.
        logits: (B, classes).
        path: where the logits stand in what the module returns.
    """

    images: int
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    samples: dict[str, Tensor] = field(default_factory=dict)
    logits: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    path: LogitsPath = field(default_factory=LogitsPath)


def layer_modules(module: nn.Module) -> dict[str, nn.Module]:
    """The parts of a module by dotted name, without those that only compute its weights: the
    parametrizations of `torch.nn.utils.parametrize`, such as weight and spectral norm.
    """
    hidden = tuple(
        f"{name}.parametrizations" if name else "parametrizations"
        for name, part in module.named_modules()
        if parametrize.is_parametrized(part)
    )
    return {
        name: part
        for name, part in module.named_modules()
        if name and not any(name == h or name.startswith(f"{h}.") for h in hidden)
    }


@torch.no_grad()
def trace_layers(
    module: nn.Module, modules: dict[str, nn.Module], images: Tensor, seed: int = 0
) -> LayerTrace:
    """Run a module on some images and note what its layers give. torch's generators are left as
    they were.

    Args:
        module: maps images to logits, see `find_logits`.
        modules: its parts by dotted name.
        images: (B, C, H, W) as the module takes them.
        seed: of the random numbers that the module may draw from torch.

    Raises:
        ValueError: the module does not map each image to a row of logits.
    """
    trace = LayerTrace(len(images))
    finished: dict[str, tuple[Tensor, int]] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            finished.pop(name, None)  # a module that is called again is finished by its last call
            finished[name] = output, _version(output)
            trace.calls[name] = trace.calls.get(name, 0) + 1
            trace.samples.pop(name, None)
            if output.ndim and len(output) == len(images):
                trace.samples[name] = _sample(output)

    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), forward_hooks(modules, keep):
        torch.manual_seed(seed)
        output = module(images.clone())  # which it may change in place
    trace.path = find_logits(output, len(images))
    trace.logits = trace.path.of(output)
    for name, (output, version) in finished.items():
        trace.shapes[name] = tuple(output.shape)
        if _version(output) != version:
            trace.overwritten.add(name)
    return trace


def _version(output: Tensor) -> int:
    """How often an output was written to, which torch does not count in inference mode."""
    return 0 if output.is_inference() else output._version


def _sample(output: Tensor) -> Tensor:
    """Some entries (B, n) of each row, copied at once: they may be overwritten later."""
    shape = output.shape[1:]
    count = shape.numel()
    if count == 0:
        return output.new_zeros(len(output), 0)
    places = torch.arange(count) if count <= _ENTRIES else torch.linspace(0, count - 1, _ENTRIES)
    index = torch.unravel_index(places.long().to(output.device), shape) if shape else ()
    rows: tuple[Any, ...] = (slice(None), *index)
    entries = output[rows].reshape(len(output), -1)
    return entries.abs().double() if entries.is_complex() else entries.double()
