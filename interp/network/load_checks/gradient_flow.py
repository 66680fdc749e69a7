"""Layers that no gradient leads back from: computed under `torch.no_grad`, or detached."""

from typing import Any

import torch
from torch import Tensor, nn

from interp.layer import LOGITS
from interp.network.hooks import forward_hooks


def layers_without_gradient(
    module: nn.Module, modules: dict[str, nn.Module], image: Tensor
) -> frozenset[str]:
    """Find the layers whose outputs are not connected to the image by a graph of gradients. torch's
    generators are left as they were.

    Args:
        module: maps normalized images to logits (B, classes).
        modules: its parts by dotted name.
        image: (1, C, H, W) as the module takes it.

    Returns:
        The layers' names, "logits" among them where the logits are not; empty for a module whose
        forward pass fails where gradients are asked for, which is told of elsewhere.

    Raises:
        torch.OutOfMemoryError: the pass does not fit.
    """
    carries: dict[str, bool] = {}

    def keep(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            carries[name] = output.requires_grad

    devices = [image.device] if image.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad(), forward_hooks(modules, keep):
        x = image.detach().requires_grad_() * 1  # no leaf, which nobody could write into
        try:
            keep(LOGITS, module(x))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            return frozenset()
    return frozenset(name for name, found in carries.items() if not found)
