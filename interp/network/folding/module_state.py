"""Whether a module is still what it was, and whether running it changes anything."""

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class ModuleState:
    """What a module was when a copy of it was made, to tell later whether the copy is still one."""

    def __init__(self, module: nn.Module) -> None:
        """Note the present state of a module: its mode, its parts, and the versions of its tensors.

        Args:
            module: any; its tensors are not copied.
        """
        self._modules = list(module.modules())
        self._entries = [
            (registry, name, entry)
            for m in self._modules
            for registry in _registries(m)
            for name, entry in registry.items()
        ]
        tensors = (entry for _, _, entry in self._entries if isinstance(entry, Tensor))
        self._versions = [(t, t._version) for t in tensors]

    def is_unchanged(self) -> bool:
        """Whether no module trains, no tensor was written to and no part replaced."""
        return (
            not any(m.training for m in self._modules)
            and all(t._version == version for t, version in self._versions)
            and all(registry.get(name) is entry for registry, name, entry in self._entries)
        )


def _registries(module: nn.Module) -> tuple[dict[str, Any], ...]:
    return module._parameters, module._buffers, module._modules


@torch.no_grad()
def is_deterministic(module: nn.Module, example: Tensor) -> bool:
    """Whether a module gives the same bits again, leaves itself as it is, and draws from no global
    random generator.

    Args:
        module: in eval mode.
        example: images (B, C, H, W) as it takes them.
    """
    before, attributes = ModuleState(module), [dict(vars(m)) for m in module.modules()]
    first, drew = module(example.clone()), []
    for _ in range(2):  # another thread may draw meanwhile, but hardly both times
        states = _generator_states(example.device)
        if not torch.equal(module(example.clone()), first):
            return False
        drew.append(states != _generator_states(example.device))
    same = all(
        vars(m).get(name) is value
        for m, kept in zip(module.modules(), attributes, strict=True)
        for name, value in kept.items()
    )
    return same and before.is_unchanged() and not all(drew)


def _generator_states(device: torch.device) -> list[object]:
    legacy = np.random.get_state(legacy=False)
    states: list[object] = [torch.get_rng_state().tolist(), random.getstate(), str(legacy)]
    return states + ([torch.cuda.get_rng_state(device).tolist()] if device.type == "cuda" else [])
