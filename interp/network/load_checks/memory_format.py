"""In which order a network's tensors lie in memory: channels last where that is the same function.

Convolutions are faster with channels last, but a network that reads memory in its own order
(`view`, `as_strided`, `data_ptr`) either fails with it or is another function.
"""

import torch
from torch import Tensor, nn

from interp.network.load_checks.agreement import passes_agree
from interp.network.load_checks.layer_trace import LayerTrace, trace_layers


def choose_memory_format(
    module: nn.Module, modules: dict[str, nn.Module], images: Tensor
) -> tuple[torch.memory_format, LayerTrace]:
    """Choose the memory format of a module and its images, and leave the module in it.

    Args:
        module: maps images to logits. The layout of its parameters changes, but not their values.
        modules: its parts by dotted name.
        images: (B, C, H, W) as the module takes them, several and different.

    Returns:
        channels_last if a pass in it gives the same logits and layers as a pass in PyTorch's
        default layout, or if the module runs in no other; else contiguous_format. And the pass.

    Raises:
        ValueError: the module does not map each image to a row of logits.
        Exception: whatever the module raises in either format.
    """
    failure, plain, fast = None, None, None
    try:
        plain = _trace(module, modules, images, torch.contiguous_format)
    except Exception as error:  # noqa: BLE001 - a user's own network may raise anything
        failure = error
    try:
        fast = _trace(module, modules, images, torch.channels_last)
    except Exception:  # noqa: BLE001 - as above
        fast = None
    if fast is not None and (plain is None or passes_agree(fast, plain)):
        return torch.channels_last, fast
    module.to(memory_format=torch.contiguous_format)
    if plain is None:
        assert failure is not None
        raise failure
    return torch.contiguous_format, plain


def _trace(
    module: nn.Module, modules: dict[str, nn.Module], images: Tensor, memory: torch.memory_format
) -> LayerTrace:
    module.to(memory_format=memory)
    return trace_layers(module, modules, images.contiguous(memory_format=memory))
