"""The layers of a module, found by one forward pass of one image."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from interp.layer import LOGITS
from interp.network.hooks import forward_hooks


@dataclass
class LayerTrace:
    """What one forward pass of one image tells of a module's layers.

    Attributes:
        output_shapes: layer -> output shape without the batch, in the order in which the pass
            finishes them; "logits" too, as the last.
        calls: module -> how often the pass calls it.
        overwritten: the layers whose output a later in-place operation changes.
    """

    output_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)


@torch.no_grad()
def trace_layers(module: nn.Module, modules: dict[str, nn.Module], image: Tensor) -> LayerTrace:
    """Run a module on one image and note what its layers give.

    Args:
        module: maps images to logits.
        modules: its parts by dotted name.
        image: (1, C, H, W) as the module takes it.

    Raises:
        ValueError: the module does not map one image to a row of logits.
    """
    trace = LayerTrace()
    finished: dict[str, tuple[Tensor, int]] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            finished.pop(name, None)  # a module that is called again is finished by its last call
            finished[name] = output, output._version
            trace.calls[name] = trace.calls.get(name, 0) + 1

    with forward_hooks(modules, keep):
        logits = module(image)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        raise ValueError("the network does not map one image to one row of logits")
    for name, (output, version) in finished.items():
        trace.output_shapes[name] = tuple(output.shape[1:])
        if output._version != version:
            trace.overwritten.add(name)
    trace.output_shapes[LOGITS] = tuple(logits.shape[1:])
    return trace
