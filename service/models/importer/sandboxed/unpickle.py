"""A program of its own, which a sandbox runs: unpickle a file, and write the tensors in it.

Classes that cannot be imported here become inert stand-ins, so that a checkpoint opens without the
library that wrote it. What is unpickled may run code: nothing but the sandbox may start this.
"""

import pickle
import sys
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_DEPTH = 8


class _StandIn:
    """An object of a class that is not at hand: it takes whatever it is given and does nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.__dict__.update(part)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__[str(key)] = value

    def append(self, value: Any) -> None:
        """Take an element, as a list would."""

    def extend(self, values: Any) -> None:
        """Take elements, as a list would."""

    def __call__(self, *args: Any, **kwargs: Any) -> "_StandIn":
        return self


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Find a class, or make a stand-in for it."""
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name.rpartition(".")[2] or "unnamed", (_StandIn,), {})


def _tolerant() -> types.ModuleType:
    """The module `pickle` with an unpickler that knows stand-ins."""
    module = types.ModuleType("tolerant_pickle")
    module.__dict__.update({k: v for k, v in vars(pickle).items() if not k.startswith("__")})
    module.__dict__["Unpickler"] = _Unpickler
    module.__dict__["load"] = lambda file, **options: _Unpickler(file, **options).load()
    return module


def plain(value: Any, depth: int = _DEPTH) -> Any:
    """Keep the tensors of a value.

    Args:
        value: anything: mappings, modules, other objects.
        depth: of mappings and modules that are looked into.

    Returns:
        A tensor, a dict by name of these and of further dicts, or None for anything else.
    """
    if isinstance(value, Tensor):
        return value.detach().cpu().clone().contiguous()
    if depth == 0:
        return None
    attributes = getattr(value, "__dict__", {})
    if {"_parameters", "_modules"} <= attributes.keys():
        return dict(_state("", attributes))
    if not isinstance(value, Mapping):
        return None
    kept = {k: plain(v, depth - 1) for k, v in value.items() if isinstance(k, str)}
    return {k: v for k, v in kept.items() if v is not None and v != {}} if kept else None


def _state(prefix: str, attributes: Mapping[str, Any]) -> Any:
    """The state dict of a module, also of one that is a stand-in."""
    passing = attributes.get("_non_persistent_buffers_set", ())
    buffers = attributes.get("_buffers") or {}
    tensors = {**(attributes.get("_parameters") or {}), **buffers}
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and name not in passing:
            yield f"{prefix}{name}", tensor.detach().cpu().clone().contiguous()
    for name, child in (attributes.get("_modules") or {}).items():
        if child is not None:
            yield from _state(f"{prefix}{name}.", vars(child))


def main(source: str, target: str) -> None:
    """Unpickle `source` and write its tensors to `target`, which `weights_only` reads."""
    contents = torch.load(source, map_location="cpu", weights_only=False, pickle_module=_tolerant())
    kept = plain(contents)
    torch.save(kept if isinstance(kept, dict) else {}, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
